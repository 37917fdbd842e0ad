/*
 * P and its kin. What is signed is the text as it stands in the URI up to the MAC, and the cluster's name; so a node
 * that knows the key needs nothing else to judge a P, and no two tokens have one text: `+` separates, and stands in no
 * part (base64url, node names and escaped users have none).
 */
#include "auth/token.h"

#include "auth/token_internal.h"

enum {
        MAC_OCTETS = 12,                    /* 96 bits */
        MAC_CHARS = 1 + MAC_OCTETS / 3 * 4, /* key id, base64url */
        INSTANCE_OCTETS = 6,
        DIALOG_OCTETS = 10, /* 16 characters of base32 */
        CONTENT_MAX = BL_TOKEN_MAX - BL_AEAD_OVERHEAD
};

static bool is_b64url(struct bl_str s)
{
        for (size_t i = 0; i < s.n; i++) {
                char c = s.p[i], l = bl_lower(c);

                if (!((l >= 'a' && l <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_'))
                        return false;
        }
        return s.n > 0;
}

static bool is_node(struct bl_str s)
{
        for (size_t i = 0; i < s.n; i++)
                if (s.p[i] != '.' && !is_b64url(bl_str_make(s.p + i, 1)))
                        return false;
        return s.n > 0;
}

static void add_lower(struct bl_sb *b, struct bl_str s)
{
        char *to = bl_sb_room(b, s.n);

        if (!to)
                return;
        for (size_t i = 0; i < s.n; i++)
                to[i] = bl_lower(s.p[i]);
        b->n += s.n;
}

/* RFC 4648 base32 in lower case: survives those who fold the case of URI parameters, which are compared without. What
 * does not fill a digit is left out. */
static void add_base32(struct bl_sb *b, const uint8_t *octets, size_t n)
{
        size_t digits = n * 8 / 5;
        char *to = bl_sb_room(b, digits);
        uint32_t bits = 0;
        unsigned have = 0;

        if (!to)
                return;
        for (size_t i = 0; i < n; i++) {
                bits = bits << 8 | octets[i];
                for (have += 8; have >= 5; have -= 5)
                        *to++ = "abcdefghijklmnopqrstuvwxyz234567"[bits >> (have - 5) & 31];
        }
        b->n += digits;
}

static void token_mac(const struct token_key *k, struct bl_str cluster, struct bl_str content, uint8_t ret[BL_TAG_LEN])
{
        char lower[256];
        struct bl_sb name = BL_SB(lower);

        add_lower(&name, cluster);
        bl_tag(&k->mac, (const struct bl_str[]){BL_STR("1\0"), bl_sb_str(&name), BL_STR("\0"), content}, 4, ret);
}

static void token_nonce(const struct token_key *k, struct bl_str content, uint8_t ret[BL_TAG_LEN])
{
        bl_tag(&k->nonce, &content, 1, ret);
}

/* The domain is left out when it is the default, unless the user has an `@` itself and could be taken for one with. */
static bool needs_domain(const struct bl_token_cluster *c, const struct bl_token *t)
{
        return !bl_host_eq(t->domain, c->default_domain) || bl_str_find(t->user, '@') >= 0;
}

static int put_content(const struct bl_token_cluster *c, const struct bl_token *t, struct bl_sb *b)
{
        if (t->user.n == 0 || !is_b64url(t->instance) || t->instance.n > BL_TOKEN_INSTANCE ||
            t->star != (t->n_nodes == 0) || t->n_nodes > BL_TOKEN_NODES)
                return BL_EINVAL;
        bl_uri_escape_user(b, t->user, "+;?/,&=$~");
        if (needs_domain(c, t)) {
                if (!is_node(t->domain)) /* a literal IPv6 address cannot stand in a user part */
                        return BL_EINVAL;
                bl_sb_addz(b, "%40");
                add_lower(b, t->domain);
        }
        bl_sb_addc(b, '+');
        bl_sb_add(b, t->instance);
        if (t->star)
                bl_sb_addz(b, "+*");
        for (unsigned i = 0; i < t->n_nodes; i++) {
                if (!is_node(t->node[i]))
                        return BL_EINVAL;
                bl_sb_addc(b, '+');
                bl_sb_add(b, t->node[i]);
        }
        return b->over ? BL_ELIMIT : 0;
}

static void put_readable(const struct bl_token_cluster *c, struct bl_str content, struct bl_sb *out)
{
        const struct token_key *k = token_signer(c->keys);
        uint8_t mac[BL_TAG_LEN];

        token_mac(k, c->name, content, mac);
        bl_sb_add(out, content);
        bl_sb_addc(out, '+');
        bl_sb_addc(out, k->id);
        bl_sb_b64url(out, mac, MAC_OCTETS);
}

static void put_sealed(const struct bl_token_cluster *c, struct bl_str content, struct bl_sb *out)
{
        const struct token_key *k = token_signer(c->keys);
        uint8_t mac[BL_TAG_LEN], box[BL_TOKEN_MAX];
        char lower[256];
        struct bl_sb name = BL_SB(lower);

        add_lower(&name, c->name);
        token_nonce(k, content, mac);
        bl_aead_seal(k->seal, mac, bl_sb_str(&name), content, box);
        bl_sb_addc(out, '~');
        bl_sb_addc(out, k->id);
        bl_sb_addc(out, '-');
        bl_sb_b64url(out, box, content.n + BL_AEAD_OVERHEAD);
}

int bl_token_put(const struct bl_token_cluster *c, const struct bl_token *t, struct bl_sb *out)
{
        char text[CONTENT_MAX];
        struct bl_sb content = BL_SB(text);
        size_t start = out->n;
        int rc = put_content(c, t, &content);

        if (rc < 0)
                return rc;
        bl_sb_addz(out, "sip:");
        if (c->sealed)
                put_sealed(c, bl_sb_str(&content), out);
        else
                put_readable(c, bl_sb_str(&content), out);
        bl_sb_addc(out, '@');
        add_lower(out, c->name);
        if (out->over || out->n - start > BL_TOKEN_MAX) {
                out->n = start;
                return BL_ELIMIT;
        }
        return 0;
}

/* The last of the `+`-separated parts. False when there is no `+`. */
static bool cut_last(struct bl_str *s, struct bl_str *ret_part)
{
        size_t i = s->n;

        while (i > 0 && s->p[i - 1] != '+')
                i--;
        if (i == 0)
                return false;
        *ret_part = bl_str_from(*s, i);
        s->n = i - 1;
        return true;
}

/* The AOR's part: `user` or `user%40domain`; the last %40 counts. */
static int open_aor(const struct bl_token_cluster *c, struct bl_str part, char *scratch, struct bl_token *t)
{
        struct bl_sb user = {scratch, 0, BL_TOKEN_MAX, false};
        size_t at = part.n;

        t->domain = c->default_domain;
        for (size_t i = 0; i + 3 <= part.n; i++)
                if (part.p[i] == '%' && part.p[i + 1] == '4' && part.p[i + 2] == '0')
                        at = i;
        if (at < part.n) {
                t->domain = bl_str_from(part, at + 3);
                part.n = at;
        }
        if (part.n == 0 || t->domain.n == 0 || bl_uri_unescape(part, &user) < 0 || user.over)
                return BL_EMALFORMED;
        t->user = bl_sb_str(&user);
        return 0;
}

/* user+instance+node…; scratch may be where the text is: unescaping only shrinks the part that stands first. */
static int open_content(const struct bl_token_cluster *c, struct bl_str s, char *scratch, struct bl_token *ret_token)
{
        struct bl_token t = {0};
        struct bl_str parts[BL_TOKEN_NODES + 1];
        unsigned n = 0;
        int rc;

        while (n < BL_ARRAY_LEN(parts) && cut_last(&s, &parts[n]))
                n++;
        if (n < 2 || bl_str_find(s, '+') >= 0)
                return BL_EMALFORMED;
        t.instance = parts[n - 1];
        t.star = n == 2 && bl_str_eq(parts[0], BL_STR("*"));
        if (!is_b64url(t.instance) || t.instance.n > BL_TOKEN_INSTANCE)
                return BL_EMALFORMED;
        for (unsigned i = 0; !t.star && i < n - 1; i++) {
                t.node[t.n_nodes] = parts[n - 2 - i];
                if (!is_node(t.node[t.n_nodes++]))
                        return BL_EMALFORMED;
        }
        rc = open_aor(c, s, scratch, &t);
        if (rc == 0)
                *ret_token = t;
        return rc;
}

static int open_readable(const struct bl_token_cluster *c, struct bl_str user_part, char *scratch,
                         struct bl_token *ret_token)
{
        struct bl_str content = user_part, mac_text;
        uint8_t want[BL_TAG_LEN], got[MAC_OCTETS];
        const struct token_key *k;
        struct bl_token t;
        int rc;

        if (!cut_last(&content, &mac_text) || mac_text.n != MAC_CHARS || !is_b64url(mac_text))
                return BL_EMALFORMED;
        rc = open_content(c, content, scratch, &t);
        if (rc < 0)
                return rc;
        if (bl_b64url_decode(bl_str_from(mac_text, 1), got, sizeof(got)) != MAC_OCTETS)
                return BL_EMALFORMED;
        k = bl_token_key_by_id(token_set(c->keys), mac_text.p[0]);
        if (!k)
                return BL_ENOENT;
        token_mac(k, c->name, content, want);
        if (!bl_equal_ct(want, got, MAC_OCTETS))
                return BL_EAUTH;
        *ret_token = t;
        return 0;
}

static int open_sealed(const struct bl_token_cluster *c, struct bl_str user_part, char *scratch,
                       struct bl_token *ret_token)
{
        uint8_t box[BL_TOKEN_MAX];
        char lower[256], text[BL_TOKEN_MAX];
        struct bl_sb name = BL_SB(lower), again = BL_SB(text);
        const struct token_key *k;
        int n, rc;

        if (user_part.n < 4 || user_part.p[2] != '-')
                return BL_EMALFORMED;
        n = bl_b64url_decode(bl_str_from(user_part, 3), box, sizeof(box));
        if (n <= BL_AEAD_OVERHEAD)
                return BL_EMALFORMED;
        bl_sb_b64url(&again, box, (size_t)n);
        if (!bl_str_eq(bl_sb_str(&again), bl_str_from(user_part, 3)))
                return BL_EMALFORMED; /* bits that the decoder does not look at: one content has one P */
        k = bl_token_key_by_id(token_set(c->keys), user_part.p[1]);
        if (!k)
                return BL_ENOENT;
        add_lower(&name, c->name);
        rc = bl_aead_open(k->seal, bl_sb_str(&name), bl_str_make((const char *)box, (size_t)n), (uint8_t *)scratch);
        if (rc < 0)
                return rc;
        return open_content(c, bl_str_make(scratch, (size_t)n - BL_AEAD_OVERHEAD), scratch, ret_token);
}

int bl_token_open(const struct bl_token_cluster *c, struct bl_str user_part, char *scratch, struct bl_token *ret_token)
{
        if (user_part.n == 0 || user_part.n > BL_TOKEN_MAX)
                return BL_EMALFORMED;
        if (user_part.p[0] == '~' && bl_str_find(user_part, '+') < 0)
                return open_sealed(c, user_part, scratch, ret_token);
        return open_readable(c, user_part, scratch, ret_token);
}

/* --- the kin --- */

static void instance_digest(const struct token_key *k, struct bl_str instance, struct bl_sb *out)
{
        uint8_t mac[BL_TAG_LEN];

        bl_tag(&k->instance, &instance, 1, mac);
        bl_sb_b64url(out, mac, INSTANCE_OCTETS);
}

void bl_token_instance(const struct bl_token_cluster *c, struct bl_str instance, struct bl_sb *out)
{
        instance_digest(token_signer(c->keys), instance, out);
}

bool bl_token_instance_ok(const struct bl_token_cluster *c, struct bl_str instance, struct bl_str digest)
{
        const struct token_set *s = token_set(c->keys);
        bool ok = false;

        for (unsigned i = 0; i < s->n; i++) {
                char text[BL_TOKEN_INSTANCE];
                struct bl_sb want = BL_SB(text);

                instance_digest(&s->key[i], instance, &want);
                ok |= want.n == digest.n && bl_equal_ct(text, digest.p, want.n);
        }
        return ok;
}

static void dialog_digest(const struct token_key *k, struct bl_str what, struct bl_str call_id, struct bl_sb *out)
{
        uint8_t mac[BL_TAG_LEN];

        bl_tag(&k->dialog, (const struct bl_str[]){what, BL_STR("\0"), call_id}, 3, mac);
        add_base32(out, mac, DIALOG_OCTETS);
}

void bl_token_dialog(const struct bl_token_keys *k, struct bl_str what, struct bl_str call_id, struct bl_sb *out)
{
        dialog_digest(token_signer(k), what, call_id, out);
}

bool bl_token_dialog_ok(const struct bl_token_keys *k, struct bl_str what, struct bl_str call_id, struct bl_str d)
{
        char got[BL_TOKEN_DIALOG];
        struct bl_sb lower = BL_SB(got);
        const struct token_set *s = token_set(k);
        bool ok = false;

        add_lower(&lower, d); /* URI parameters are compared in any case, RFC 3261 19.1.4 */
        if (d.n != BL_TOKEN_DIALOG)
                return false;
        for (unsigned i = 0; i < s->n; i++) {
                char text[BL_TOKEN_DIALOG];
                struct bl_sb want = BL_SB(text);

                dialog_digest(&s->key[i], what, call_id, &want);
                ok |= bl_equal_ct(text, got, BL_TOKEN_DIALOG);
        }
        return ok;
}

void bl_token_branch(const struct bl_token_keys *k, struct bl_str sent_by, struct bl_str branch, struct bl_str call_id,
                     uint32_t cseq, unsigned salt, struct bl_sb *out)
{
        uint8_t mac[BL_TAG_LEN];
        char text[32];
        struct bl_sb numbers = BL_SB(text);

        bl_sb_addu(&numbers, cseq);
        bl_sb_addc(&numbers, '\0');
        bl_sb_addu(&numbers, salt);
        bl_tag(&token_signer(k)->branch,
               (const struct bl_str[]){sent_by, BL_STR("\0"), branch, BL_STR("\0"), call_id, BL_STR("\0"),
                                       bl_sb_str(&numbers)},
               7, mac);
        bl_sb_addz(out, "z9hG4bK");
        add_base32(out, mac, DIALOG_OCTETS);
}
