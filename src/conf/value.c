/* One scalar: text into a member. */
#include "conf/internal.h"

struct unit {
        const char *name;
        uint64_t factor;
};
static const struct unit durations[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}, {0}};
static const struct unit sizes[] = {{"", 1}, {"B", 1}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {0}};

static void put_unit(struct bl_sb *b, uint64_t v, const struct unit *units)
{
        const struct unit *best = units;
        for (const struct unit *u = units; u->name; u++) {
                if (v && v % u->factor == 0 && u->factor >= best->factor)
                        best = u;
        }
        bl_sb_addu(b, v / best->factor);
        if (v)
                bl_sb_addz(b, best->name);
}

void bl_value_put_ms(struct bl_sb *b, uint64_t ms)
{
        put_unit(b, ms, durations);
}

void bl_value_put_bytes(struct bl_sb *b, uint64_t octets)
{
        put_unit(b, octets, sizes);
}

/* ---- numbers ---- */

static void put_number(struct bl_sb *b, enum bl_conf_type type, uint64_t v)
{
        if (type == BL_CONF_MS)
                bl_value_put_ms(b, v);
        else if (type == BL_CONF_BYTES)
                bl_value_put_bytes(b, v);
        else
                bl_sb_addu(b, v);
}

static bool in_range(struct load *l, const struct bl_conf_option *o, const struct node *node, uint64_t v)
{
        uint64_t most = o->size >= 8 ? UINT64_MAX : ((uint64_t)1 << (8 * o->size)) - 1;
        uint64_t max = o->max ? o->max : most;
        char text[96];
        struct bl_sb b = BL_SB(text);
        if (v >= o->min && v <= max && v <= most)
                return true;
        put_number(&b, o->type, o->min);
        bl_sb_addz(&b, " to ");
        put_number(&b, o->type, max < most ? max : most);
        bl_report(l, node, "%.*s is out of range; allowed is %.*s", BL_STR_ARG(node->text), BL_STR_ARG(bl_sb_str(&b)));
        return false;
}

static bool store(struct load *l, const struct bl_conf_option *o, const struct node *node, uint64_t v, void *at)
{
        if (!in_range(l, o, node, v))
                return false;
        switch (o->size) {
        case 1:
                *(uint8_t *)at = (uint8_t)v;
                break;
        case 2:
                *(uint16_t *)at = (uint16_t)v;
                break;
        case 4:
                *(uint32_t *)at = (uint32_t)v;
                break;
        default:
                *(uint64_t *)at = v;
                break;
        }
        return true;
}

static size_t digits(struct bl_str s)
{
        size_t n = 0;
        while (n < s.n && s.p[n] >= '0' && s.p[n] <= '9')
                n++;
        return n;
}

static bool read_int(struct load *l, const struct bl_conf_option *o, const struct node *node, void *at)
{
        uint64_t v;
        if (bl_str_u64(node->text, &v) < 0) {
                bl_report(l, node, "\"%.*s\" is not a whole number", BL_STR_ARG(node->text));
                return false;
        }
        return store(l, o, node, v, at);
}

static bool read_with_unit(struct load *l, const struct bl_conf_option *o, const struct node *node, void *at)
{
        const struct unit *units = o->type == BL_CONF_MS ? durations : sizes;
        size_t n = digits(node->text);
        struct bl_str unit = bl_str_trim(bl_str_from(node->text, n));
        uint64_t v;
        if (n && bl_str_u64(bl_str_make(node->text.p, n), &v) == 0) {
                if (v == 0 && unit.n == 0)
                        return store(l, o, node, 0, at);
                for (; units->name; units++) {
                        if (bl_str_eq(unit, bl_str_z(units->name)) && v <= UINT64_MAX / units->factor)
                                return store(l, o, node, v * units->factor, at);
                }
        }
        if (o->type == BL_CONF_MS)
                bl_report(l, node, "\"%.*s\" is not a duration; write 500ms, 10s, 5m, 12h or 7d",
                          BL_STR_ARG(node->text));
        else
                bl_report(l, node, "\"%.*s\" is not a size; write 512, 64KiB, 10MiB or 1GiB", BL_STR_ARG(node->text));
        return false;
}

/* ---- words ---- */

static bool read_bool(struct load *l, const struct node *node, void *at)
{
        static const char *const yes[] = {"true", "yes", "on"}, *const no[] = {"false", "no", "off"};
        for (size_t i = 0; i < BL_ARRAY_LEN(yes); i++) {
                bool is = bl_str_ieq(node->text, bl_str_z(yes[i]));
                if (is || bl_str_ieq(node->text, bl_str_z(no[i]))) {
                        *(bool *)at = is;
                        return true;
                }
        }
        bl_report(l, node, "\"%.*s\" is neither true nor false", BL_STR_ARG(node->text));
        return false;
}

static size_t count_names(const char *const *names)
{
        size_t n = 0;
        while (names && names[n])
                n++;
        return n;
}

static int find_name(const char *const *names, struct bl_str word)
{
        for (size_t i = 0; i < count_names(names); i++) {
                if (bl_str_eq(word, bl_str_z(names[i])))
                        return (int)i;
        }
        return -1;
}

static void put_names(struct bl_sb *b, const char *const *names)
{
        for (size_t i = 0; names[i]; i++) {
                bl_sb_addz(b, i ? ", " : "");
                bl_sb_addz(b, names[i]);
        }
}

static bool read_enum(struct load *l, const struct bl_conf_option *o, const struct node *node, void *at)
{
        char text[256];
        struct bl_sb b = BL_SB(text);
        int i = find_name(o->names, node->text);
        if (i >= 0) {
                *(int *)at = i;
                return true;
        }
        put_names(&b, o->names);
        bl_report(l, node, "\"%.*s\" is not possible here; choose one of %.*s", BL_STR_ARG(node->text),
                  BL_STR_ARG(bl_sb_str(&b)));
        return false;
}

/* ---- text ---- */

static bool read_str(struct load *l, const struct bl_conf_option *o, const struct node *node, void *at)
{
        size_t n = node->text.n;
        if (n < o->min || (o->max && n > o->max)) {
                bl_report(l, node, "has %zu characters; allowed are %llu to %llu", n, (unsigned long long)o->min,
                          (unsigned long long)o->max);
                return false;
        }
        *(struct bl_str *)at = node->text;
        return true;
}

/* Relative to the folder of the configuration file, wherever the program was started. */
static bool read_path(struct load *l, const struct bl_conf_option *o, const struct node *node, void *at)
{
        struct bl_str file = bl_str_z(l->file), path = node->text, folder = {0};
        if (path.n == 0 || bl_str_find(path, '\0') >= 0) {
                bl_report(l, node, "is not the name of a file");
                return false;
        }
        for (size_t i = 0; o->names && o->names[i]; i++) {
                if (bl_str_eq(path, bl_str_z(o->names[i]))) {
                        *(struct bl_str *)at = path;
                        return true;
                }
        }
        for (size_t i = 0; i < file.n; i++) {
                if (file.p[i] == '/')
                        folder = bl_str_make(file.p, i + 1);
        }
        if (path.p[0] == '/' || folder.n == 0) {
                *(struct bl_str *)at = path;
                return true;
        }
        struct bl_str whole = BL_CAT(l->arena, folder, path, BL_STR("\0"));
        if (!whole.n) {
                l->no_memory = true;
                return false;
        }
        *(struct bl_str *)at = bl_str_make(whole.p, whole.n - 1);
        return true;
}

static bool is_host_char(char c)
{
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* A host name (RFC 1123 section 2.1, underscores too, as they occur), or an address. */
static bool is_host(struct bl_str s)
{
        struct bl_addr a;
        size_t label = 0;
        if (bl_addr_parse(s, &a) == 0)
                return true;
        for (size_t i = 0; i < s.n; i++) {
                if (s.p[i] == '.' && label > 0) {
                        label = 0;
                } else if (is_host_char(s.p[i]) && ++label <= 63) {
                        continue;
                } else {
                        return false;
                }
        }
        return label > 0 && s.n <= 253;
}

static bool read_domain(struct load *l, const struct node *node, void *at)
{
        struct bl_str s = bl_arena_str(l->arena, node->text);
        for (size_t i = 0; i < s.n; i++)
                ((char *)s.p)[i] = bl_lower(s.p[i]); /* our own copy */
        if (s.n > 1 && s.p[s.n - 1] == '.')
                s.n--;
        if (!is_host(s)) {
                bl_report(l, node, "\"%.*s\" is not a domain or host name; write it like example.com",
                          BL_STR_ARG(node->text));
                return false;
        }
        *(struct bl_str *)at = s;
        return true;
}

/* ---- addresses ---- */

static bool read_addr(struct load *l, const struct bl_conf_option *o, const struct node *node, void *at)
{
        if (bl_addr_parse_port(node->text, o->default_port, at) == 0)
                return true;
        bl_report(l, node, "\"%.*s\" is not an address; write 192.0.2.1%s or \"[2001:db8::1]%s\", no name",
                  BL_STR_ARG(node->text), o->default_port ? ":5060" : "", o->default_port ? ":5060" : "");
        return false;
}

static bool read_net(struct load *l, const struct node *node, void *at)
{
        if (bl_net_parse(node->text, at) == 0)
                return true;
        bl_report(l, node, "\"%.*s\" is not an address range; write 192.0.2.0/24, 2001:db8::/32 or one address",
                  BL_STR_ARG(node->text));
        return false;
}

static bool next_word(struct bl_str *s, struct bl_str *ret_word)
{
        struct bl_str rest;
        *s = bl_str_trim(*s);
        (void)bl_str_cut(*s, ' ', ret_word, &rest);
        *s = bl_str_trim(rest);
        return ret_word->n > 0;
}

static bool read_point(struct load *l, const struct bl_conf_option *o, const struct node *node, void *at)
{
        struct bl_conf_point p = {.word = -1};
        struct bl_str rest = node->text, word = {0};
        char text[128];
        struct bl_sb b = BL_SB(text);
        bool more = next_word(&rest, &word);
        if (more && o->names && (p.word = find_name(o->names, word)) >= 0)
                more = next_word(&rest, &word);
        if (o->names) {
                bl_sb_addz(&b, " (before it may stand: ");
                put_names(&b, o->names);
                bl_sb_addc(&b, ')');
        }
        if (!more || bl_tp_from(word, &p.tp) < 0) {
                bl_report(l, node,
                          "\"%.*s\" does not begin with a transport; write udp, tcp or tls and an address, like "
                          "udp 192.0.2.1:5060%.*s",
                          BL_STR_ARG(node->text), BL_STR_ARG(bl_sb_str(&b)));
                return false;
        }
        uint16_t port = o->default_port ? o->default_port : bl_tp_default_port(p.tp);
        if (bl_addr_parse_port(rest, port, &p.addr) < 0) {
                bl_report(l, node,
                          "\"%.*s\" is not an address; write 192.0.2.1:5060 or [2001:db8::1]:5060 (then in "
                          "quotes, all of it), no name",
                          BL_STR_ARG(rest));
                return false;
        }
        *(struct bl_conf_point *)at = p;
        return true;
}

bool bl_value_read(struct load *l, const struct bl_conf_option *o, const struct node *node, void *at)
{
        if (node->kind != NODE_SCALAR) {
                bl_report(l, node, "takes one value, not a %s", node->kind == NODE_LIST ? "list" : "map");
                return false;
        }
        if (node->text.n == 0 && !node->quoted) {
                bl_report(l, node, "has no value; write one, or take the key out");
                return false;
        }
        switch (o->type) {
        case BL_CONF_STR:
                return read_str(l, o, node, at);
        case BL_CONF_PATH:
                return read_path(l, o, node, at);
        case BL_CONF_DOMAIN:
                return read_domain(l, node, at);
        case BL_CONF_BOOL:
                return read_bool(l, node, at);
        case BL_CONF_INT:
                return read_int(l, o, node, at);
        case BL_CONF_MS:
        case BL_CONF_BYTES:
                return read_with_unit(l, o, node, at);
        case BL_CONF_ENUM:
                return read_enum(l, o, node, at);
        case BL_CONF_ADDR:
                return read_addr(l, o, node, at);
        case BL_CONF_NET:
                return read_net(l, node, at);
        case BL_CONF_POINT:
                return read_point(l, o, node, at);
        case BL_CONF_LIST:
        case BL_CONF_MAP:
        case BL_CONF_TABLE:
                break;
        }
        bl_report(l, node, "internal: not a scalar type");
        return false;
}
