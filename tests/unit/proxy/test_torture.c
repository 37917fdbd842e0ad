/* RFC 4475 and RFC 5118 through a stateful proxy: what they call valid arrives octet for octet outside the headers that
 * a proxy edits; what a proxy must refuse is refused. tests/torture/expected.tsv says which is which. */
#include <strings.h>

#include "unit/proxy/rig.h"

#define DIR "tests/torture/"

enum { MOST = 16384 };

static void decide(struct rig *r, struct bl_px *px)
{
        (void)r;
        assert_int_equal(bl_px_add(px, &(struct bl_px_target){.next = BL_STR("sip:bob.test")}), 0);
        bl_px_go(px);
}

static struct bl_str load(const char *name, char *octets)
{
        char path[256];
        snprintf(path, sizeof(path), DIR "%s.dat", name);
        FILE *file = fopen(path, "rb");
        assert_non_null(file);
        size_t n = fread(octets, 1, MOST, file);
        fclose(file);
        assert_in_range(n, 1, MOST - 1);
        return bl_str_make(octets, n);
}

/* The next header line with its folds; false at the empty line. */
static bool next_line(const char **at, const char *end, struct bl_str *ret_line)
{
        const char *p = *at;
        for (;;) {
                p = memchr(p, '\n', (size_t)(end - p));
                if (!p)
                        return false;
                p++;
                if (p == end || (*p != ' ' && *p != '\t'))
                        break;
        }
        *ret_line = bl_str_make(*at, (size_t)(p - *at));
        *at = p;
        return ret_line->n > 2;
}

static bool edited(struct bl_str line)
{
        static const char *const names[] = {"Via", "v", "Max-Forwards", "Max-Breadth", "Content-Length", "l"};
        struct bl_str name, rest;
        (void)bl_str_cut(line, ':', &name, &rest);
        name = bl_str_trim(name);
        for (size_t i = 0; i < BL_ARRAY_LEN(names); i++) {
                if (bl_str_ieq(name, bl_str_z(names[i])))
                        return true;
        }
        return false;
}

static bool next_untouched(const char **at, const char *end, struct bl_str *ret_line)
{
        while (next_line(at, end, ret_line)) {
                if (!edited(*ret_line))
                        return true;
        }
        return false;
}

/* Every Via but the topmost as it came, below ours. */
static void compare_vias(const char *name, const struct bl_msg *in, const struct bl_msg *out)
{
        struct bl_values a = {0}, b = {0};
        assert_true(bl_msg_values(in, BL_H_VIA, &a) && bl_msg_values(out, BL_H_VIA, &b) &&
                    bl_msg_values(out, BL_H_VIA, &b));
        for (;;) {
                bool more = bl_msg_values(in, BL_H_VIA, &a);
                if (more != bl_msg_values(out, BL_H_VIA, &b))
                        fail_msg("%s: number of Vias", name);
                if (!more)
                        return;
                if (!bl_str_eq(a.value, b.value))
                        fail_msg("%s: Via %.*s became %.*s", name, BL_STR_ARG(a.value), BL_STR_ARG(b.value));
        }
}

static void compare(struct rig *r, const char *name, const struct bl_msg *in, const struct got *g)
{
        const struct bl_msg *out = parsed(r, g);
        const char *p = in->octets.p, *q = g->text;
        struct bl_str a, b;
        for (;;) {
                bool more = next_untouched(&p, in->octets.p + in->octets.n, &a);
                if (more != next_untouched(&q, g->text + g->n, &b))
                        fail_msg("%s: other lines in\n%s", name, g->text);
                if (!more)
                        break;
                if (!bl_str_eq(a, b))
                        fail_msg("%s: \"%.*s\" became \"%.*s\"", name, BL_STR_ARG(a), BL_STR_ARG(b));
        }
        if (!bl_str_eq(in->body, out->body))
                fail_msg("%s: body", name);
        compare_vias(name, in, out);
        assert_int_equal(out->max_forwards, in->max_forwards < 0 ? 70 : in->max_forwards - 1);
}

static unsigned forwarded, refused, silent; /* so that the table's verdicts cannot all turn into one */

static void one(const char *name, bool accept, unsigned status)
{
        struct rig *r = rig_up();
        char octets[MOST], want[32];
        struct bl_str text = load(name, octets);
        r->decide = decide;
        if (accept && strcmp(name, "zeromf") == 0)
                status = 483;
        if (accept && strcmp(name, "bext01") == 0)
                status = 420; /* its Proxy-Require names two options that nobody knows */
        ep_say(r->ep[ALICE], r->ep[ALICE]->flow, text);
        run_ms(r, 20);
        snprintf(want, sizeof(want), "SIP/2.0 %u ", status);
        struct bl_msg *in = NULL;
        struct bl_parse_error err = {0};
        bool parses = bl_msg_parse(text, true, r->arena, &in, &err) == 0;
        if (status) {
                if (r->ep[BOB]->n || !nth(r, ALICE, want, 0))
                        fail_msg("%s: not refused with %u", name, status);
                refused++;
        } else if (!accept || !parses || !in->is_request) {
                if (r->requests || r->ep[ALICE]->n || r->ep[BOB]->n)
                        fail_msg("%s: went somewhere, or was answered", name);
                silent++;
        } else if (r->ep[BOB]->n != 1) {
                fail_msg("%s: not forwarded", name);
        } else {
                compare(r, name, in, &r->ep[BOB]->msg[0]);
                forwarded++;
        }
        sim_kill(r->node, SIM_KILL_SILENT);
        assert_int_equal(sim_pool_used(r->node), 0);
        rig_free(r);
}

static void each_message(void **state)
{
        (void)state;
        FILE *file = fopen(DIR "expected.tsv", "r");
        char line[512];
        unsigned rows = 0;
        assert_non_null(file);
        while (fgets(line, sizeof(line), file)) {
                char name[64], verdict[16];
                unsigned status;
                if (*line == '#')
                        continue;
                assert_int_equal(sscanf(line, "%63[^\t]\t%15[^\t]\t%u\t", name, verdict, &status), 3);
                one(name, strcmp(verdict, "accept") == 0, status);
                rows++;
        }
        fclose(file);
        assert_int_equal(rows, 49 + 12);
        assert_int_equal(forwarded, 31);
        assert_int_equal(refused, 25);
        assert_int_equal(silent, 5);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(each_message),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
