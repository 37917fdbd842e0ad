/* The cluster's key file, and the keys for each purpose that are made from each secret. */
#include <stdio.h>
#include <stdlib.h>

#include "auth/token_internal.h"

enum { SECRET_MIN = 16 };

static void error_at(char *ret_error, size_t cap, unsigned line, const char *what)
{
        if (cap)
                (void)snprintf(ret_error, cap, "line %u: %s", line, what);
}

static void error_plain(char *ret_error, size_t cap, const char *what)
{
        if (cap)
                (void)snprintf(ret_error, cap, "%s", what);
}

static bool is_alnum(char c)
{
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_hex(struct bl_str s)
{
        for (size_t i = 0; i < s.n; i++)
                if (!((s.p[i] >= '0' && s.p[i] <= '9') || (bl_lower(s.p[i]) >= 'a' && bl_lower(s.p[i]) <= 'f')))
                        return false;
        return s.n % 2 == 0;
}

static void derive(const struct token_key *k, const char *label, struct bl_tag_key *ret)
{
        struct bl_str secret = {(const char *)k->secret, k->secret_n};
        uint8_t key[32];

        bl_kdf(secret, bl_str_z(label), key);
        bl_tag_init(ret, key);
}

static void derive_all(struct token_key *k)
{
        struct bl_str secret = {(const char *)k->secret, k->secret_n};

        derive(k, "belay token mac", &k->mac);
        derive(k, "belay token instance", &k->instance);
        derive(k, "belay dialog", &k->dialog);
        derive(k, "belay branch", &k->branch);
        derive(k, "belay token nonce", &k->nonce);
        derive(k, "nonces", &k->challenge);
        bl_kdf(secret, BL_STR("belay token seal"), k->seal);
}

/* What is wrong with one line, or NULL and *ret_key. `line` is trimmed, not empty and no comment. */
static const char *parse_line(struct bl_str line, struct token_key *ret_key)
{
        struct bl_str secret;
        size_t i = 1;
        int n;

        if (!is_alnum(line.p[0]))
                return "a key id is one of A-Z a-z 0-9";
        while (i < line.n && (line.p[i] == ' ' || line.p[i] == '\t'))
                i++;
        if (i == 1)
                return line.n == 1 ? "no secret after the key id"
                                   : "a key id is one character, then a space and the secret";
        secret = bl_str_from(line, i);
        if (bl_str_find(secret, ' ') >= 0 || bl_str_find(secret, '\t') >= 0)
                return "more than a key id and a secret";
        if (is_hex(secret) && secret.n >= (size_t)2 * SECRET_MIN)
                n = bl_hex_decode(secret, ret_key->secret, sizeof(ret_key->secret));
        else
                n = bl_b64url_decode(secret, ret_key->secret, sizeof(ret_key->secret));
        if (n == BL_ELIMIT)
                return "the secret is longer than 64 octets";
        if (n < 0)
                return "the secret is neither hex nor base64url";
        if (n < SECRET_MIN)
                return "the secret is shorter than 16 octets";
        ret_key->id = line.p[0];
        ret_key->secret_n = (uint8_t)n;
        return NULL;
}

static struct token_set *set_grow(struct token_set *s)
{
        struct token_set *more = realloc(s, sizeof(*s) + (s->n + 1) * sizeof(s->key[0]));

        if (!more)
                free(s);
        return more;
}

/* Takes `s`. */
static struct bl_token_keys *keys_of(struct token_set *s)
{
        struct bl_token_keys *k = malloc(sizeof(*k));

        if (!k) {
                free(s);
                return NULL;
        }
        atomic_init(&k->set, s);
        return k;
}

struct bl_token_keys *bl_token_keys_parse(struct bl_str file, char *ret_error, size_t error_cap)
{
        struct token_set *s = calloc(1, sizeof(*s));
        struct bl_token_keys *k = NULL;
        struct bl_str line;

        for (unsigned number = 1; s && file.n; number++) {
                struct token_key key = {0};
                const char *wrong;

                (void)bl_str_cut(file, '\n', &line, &file);
                line = bl_str_trim(line);
                if (line.n == 0 || line.p[0] == '#')
                        continue;
                wrong = parse_line(line, &key);
                if (!wrong && bl_token_key_by_id(s, key.id))
                        wrong = "this key id was given before";
                if (wrong) {
                        error_at(ret_error, error_cap, number, wrong);
                        free(s);
                        return NULL;
                }
                s = set_grow(s);
                if (!s)
                        break;
                derive_all(&key);
                s->key[s->n++] = key;
        }
        if (s && s->n == 0) {
                error_plain(ret_error, error_cap, "no key in it: a line is a key id, a space and a secret");
                free(s);
                return NULL;
        }
        if (s)
                k = keys_of(s);
        if (!k)
                error_plain(ret_error, error_cap, "no memory");
        return k;
}

void bl_token_keys_free(struct bl_token_keys *k)
{
        if (!k)
                return;
        free(atomic_load_explicit(&k->set, memory_order_relaxed));
        free(k);
}

void bl_token_keys_swap(struct bl_token_keys *k, struct bl_token_keys *fresh)
{
        struct token_set *s = atomic_load_explicit(&fresh->set, memory_order_relaxed);

        s = atomic_exchange_explicit(&k->set, s, memory_order_acq_rel);
        atomic_store_explicit(&fresh->set, s, memory_order_relaxed);
}

unsigned bl_token_keys_count(const struct bl_token_keys *k)
{
        return token_set(k)->n;
}

char bl_token_keys_signer(const struct bl_token_keys *k)
{
        return token_signer(k)->id;
}

const struct token_key *bl_token_key_by_id(const struct token_set *s, char id)
{
        for (unsigned i = 0; i < s->n; i++)
                if (s->key[i].id == id)
                        return &s->key[i];
        return NULL;
}

void bl_token_derive(const struct bl_token_keys *k, struct bl_str label, uint8_t ret[32])
{
        const struct token_key *first = token_signer(k);

        bl_kdf(bl_str_make((const char *)first->secret, first->secret_n), label, ret);
}
