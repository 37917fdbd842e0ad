#include "store/users.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/crypto.h"
#include "base/hash.h"

enum { FIELDS_MIN = 4, FIELDS_MAX = 5 };

struct user {
        struct bl_hnode node;
        struct bl_str name, domain, group; /* into the text */
        struct bl_credentials credentials;
};
struct bl_users {
        struct bl_htab table;
        struct user *user;
        char text[];
};

static uint64_t user_hash(struct bl_str user, struct bl_str domain)
{
        return bl_hash_mix(bl_hash(0, user), bl_hash_lower(0, domain)); /* the administrator's names, not strangers' */
}

static bool hash_field(struct bl_str s, char *out, size_t chars)
{
        for (size_t i = 0; i < s.n && i < chars; i++) {
                out[i] = bl_lower(s.p[i]);
                if (!((out[i] >= '0' && out[i] <= '9') || (out[i] >= 'a' && out[i] <= 'f')))
                        return false;
        }
        return s.n == 0 || s.n == chars;
}

/* What is wrong with the line, or NULL. */
static const char *parse_line(struct bl_str line, struct user *u)
{
        struct bl_str field[FIELDS_MAX] = {0};
        bool more = true;
        unsigned n = 0;

        while (more && n < FIELDS_MAX)
                more = bl_str_cut(line, ':', &field[n++], &line);
        if (more)
                return "too many fields: it is user:domain:MD5:SHA256[:group]";
        if (n < FIELDS_MIN)
                return "too few fields: it is user:domain:MD5:SHA256[:group]";
        if (field[0].n == 0)
                return "the user is empty";
        if (field[1].n == 0)
                return "the domain is empty";
        if (!hash_field(field[2], u->credentials.ha1_md5, 32))
                return "the MD5 hash is not 32 hex digits";
        if (!hash_field(field[3], u->credentials.ha1_sha256, 64))
                return "the SHA-256 hash is not 64 hex digits";
        if (field[2].n == 0 && field[3].n == 0)
                return "neither an MD5 nor a SHA-256 hash";
        u->name = field[0];
        u->domain = field[1];
        u->group = field[4];
        return NULL;
}

static struct user *find(const struct bl_users *u, struct bl_str name, struct bl_str domain)
{
        struct bl_hnode *n = bl_htab_first(&u->table, user_hash(name, domain));

        for (; n; n = bl_htab_next(n)) {
                struct user *at = BL_CONTAINER(n, struct user, node);

                if (bl_str_eq(at->name, name) && bl_str_ieq(at->domain, domain))
                        return at;
        }
        return NULL;
}

static size_t count_lines(struct bl_str s)
{
        size_t n = 1;

        for (size_t i = 0; i < s.n; i++)
                n += s.p[i] == '\n';
        return n;
}

/* 0, or what is wrong in *ret_why and *ret_line. */
static bool parse_all(struct bl_users *u, struct bl_str file, unsigned *ret_line, const char **ret_why)
{
        struct user *at = u->user;
        struct bl_str line;

        for (unsigned number = 1; file.n; number++) {
                const char *why;

                *ret_line = number;
                (void)bl_str_cut(file, '\n', &line, &file);
                line = bl_str_trim(line);
                if (line.n == 0 || line.p[0] == '#')
                        continue;
                why = parse_line(line, at);
                if (!why && find(u, at->name, at->domain))
                        why = "this user was given before";
                if (!why && bl_htab_insert(&u->table, &at->node, user_hash(at->name, at->domain)) < 0)
                        why = "no memory";
                if (why) {
                        *ret_why = why;
                        return false;
                }
                at++;
        }
        return true;
}

struct bl_users *bl_users_parse(struct bl_str file, char *ret_error, size_t error_cap)
{
        struct bl_users *u = calloc(1, sizeof(*u) + file.n);
        const char *why = "no memory";
        unsigned line = 0;

        if (u)
                u->user = calloc(count_lines(file), sizeof(*u->user));
        if (u && u->user) {
                if (file.n)
                        memcpy(u->text, file.p, file.n);
                if (parse_all(u, bl_str_make(u->text, file.n), &line, &why))
                        return u;
        }
        if (error_cap && line)
                (void)snprintf(ret_error, error_cap, "line %u: %s", line, why);
        else if (error_cap)
                (void)snprintf(ret_error, error_cap, "%s", why);
        bl_users_free(u);
        return NULL;
}

void bl_users_free(struct bl_users *u)
{
        if (!u)
                return;
        bl_htab_fini(&u->table);
        free(u->user);
        free(u);
}

int bl_users_find(const struct bl_users *u, struct bl_str user, struct bl_str domain,
                  struct bl_credentials *ret_credentials, struct bl_str *ret_group)
{
        const struct user *at = find(u, user, domain);

        if (!at)
                return BL_ENOENT;
        *ret_credentials = at->credentials;
        *ret_group = at->group;
        return 0;
}

void bl_users_line(struct bl_str user, struct bl_str domain, struct bl_str password, struct bl_str group,
                   struct bl_sb *out)
{
        const struct bl_str colon = BL_STR(":"), parts[] = {user, colon, domain, colon, password};
        uint8_t md5[BL_MD5_LEN], sha256[BL_SHA256_LEN];

        bl_md5(parts, BL_ARRAY_LEN(parts), md5);
        bl_sha256(parts, BL_ARRAY_LEN(parts), sha256);
        bl_sb_add(out, user);
        bl_sb_addc(out, ':');
        bl_sb_add(out, domain);
        bl_sb_addc(out, ':');
        bl_sb_hex(out, md5, sizeof(md5));
        bl_sb_addc(out, ':');
        bl_sb_hex(out, sha256, sizeof(sha256));
        if (group.n) {
                bl_sb_addc(out, ':');
                bl_sb_add(out, group);
        }
}
