#include "io/overhear.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

enum {
        RECORD_HEAD = 5,
        RECORD_MAX = 16384 + 256, /* RFC 8446 section 5.2 */
        RANDOM = 32,
        NONCE = 12,
        TAG = 16,
        SECRET_MAX = 48,
        TYPE_HANDSHAKE = 22,
        TYPE_DATA = 23,
        HELLO_CLIENT = 1,
        HELLO_SERVER = 2,
        KEY_UPDATE = 24,
};

struct suite {
        uint16_t id; /* RFC 8446 appendix B.4 */
        gnutls_cipher_algorithm_t cipher;
        gnutls_mac_algorithm_t mac;
        unsigned key, secret;
};

struct side { /* one direction of a connection */
        struct bl_hnode node;
        struct bl_addr from, to;
        bool said_hello, is_client, dark, ended;
        uint8_t random[RANDOM];    /* a client's */
        const struct suite *suite; /* a server's choice */
        gnutls_aead_cipher_hd_t aead;
        const struct suite *with; /* aead's */
        uint8_t secret[SECRET_MAX], iv[NONCE];
        uint64_t seq;
        size_t n;
        uint8_t buf[RECORD_HEAD + RECORD_MAX];
};

struct bl_overhear {
        char *keylog_file;
        void (*seen)(void *arg, const struct bl_captured *);
        void *arg;
        struct bl_htab sides;
        uint64_t failed;
        uint8_t clear[RECORD_MAX];
};

static const struct suite *suite_of(uint16_t id)
{
        static const struct suite suites[] = {
                {0x1301, GNUTLS_CIPHER_AES_128_GCM, GNUTLS_MAC_SHA256, 16, 32},
                {0x1302, GNUTLS_CIPHER_AES_256_GCM, GNUTLS_MAC_SHA384, 32, 48},
                {0x1303, GNUTLS_CIPHER_CHACHA20_POLY1305, GNUTLS_MAC_SHA256, 32, 32},
                {0x1304, GNUTLS_CIPHER_AES_128_CCM, GNUTLS_MAC_SHA256, 16, 32},
        };
        for (size_t i = 0; i < BL_ARRAY_LEN(suites); i++)
                if (suites[i].id == id)
                        return &suites[i];
        return NULL;
}

/* --- both directions --- */

static uint64_t key_of(const struct bl_addr *from, const struct bl_addr *to)
{
        return bl_hash_mix(bl_addr_hash(1, from), bl_addr_hash(2, to));
}

static struct side *find(struct bl_overhear *o, const struct bl_addr *from, const struct bl_addr *to)
{
        for (struct bl_hnode *n = bl_htab_first(&o->sides, key_of(from, to)); n; n = bl_htab_next(n)) {
                struct side *s = BL_CONTAINER(n, struct side, node);
                if (bl_addr_eq(&s->from, from) && bl_addr_eq(&s->to, to))
                        return s;
        }
        return NULL;
}

static void forget(struct side *s)
{
        if (s->aead)
                gnutls_aead_cipher_deinit(s->aead);
        free(s);
}

static void drop(struct bl_overhear *o, struct side *s)
{
        if (!s)
                return;
        bl_htab_remove(&o->sides, &s->node);
        forget(s);
}

static struct side *make(struct bl_overhear *o, const struct bl_captured *c)
{
        struct side *s = malloc(sizeof(*s));
        if (!s)
                return NULL;
        memset(s, 0, offsetof(struct side, buf));
        s->from = c->from;
        s->to = c->to;
        if (bl_htab_insert(&o->sides, &s->node, key_of(&c->from, &c->to)) < 0) {
                free(s);
                return NULL;
        }
        return s;
}

/* --- keys --- */

/* RFC 8446 section 7.1, with an empty context. */
static int expand(const struct suite *with, const uint8_t *secret, const char *label, uint8_t *out, unsigned n)
{
        uint8_t text[64];
        size_t len = strlen(label);
        gnutls_datum_t from = {(unsigned char *)secret, with->secret}, info = {text, (unsigned)(4 + 6 + len)};
        text[0] = 0;
        text[1] = (uint8_t)n;
        text[2] = (uint8_t)(6 + len);
        memcpy(text + 3, "tls13 ", 6);
        memcpy(text + 9, label, len);
        text[9 + len] = 0;
        return gnutls_hkdf_expand(with->mac, &from, &info, out, n);
}

/* The key of s->secret, from its first record on. */
static int arm(struct side *s, const struct suite *with)
{
        uint8_t key[32];
        gnutls_datum_t k = {key, with->key};
        if (s->aead)
                gnutls_aead_cipher_deinit(s->aead);
        s->aead = NULL;
        s->with = with;
        s->seq = 0;
        if (expand(with, s->secret, "key", key, with->key) < 0 || expand(with, s->secret, "iv", s->iv, NONCE) < 0 ||
            gnutls_aead_cipher_init(&s->aead, with->cipher, &k) < 0) {
                s->aead = NULL;
                return BL_ENOENT;
        }
        return 0;
}

/* LABEL RANDOM SECRET, in hex; the octets of the secret, 0 when there is none. */
static int look_up(const struct bl_overhear *o, struct bl_str label, const uint8_t random[RANDOM],
                   uint8_t secret[SECRET_MAX])
{
        char line[512];
        int n = 0;
        FILE *f = fopen(o->keylog_file, "re");
        while (f && n == 0 && fgets(line, sizeof(line), f)) {
                struct bl_str rest = bl_str_z(line), word;
                uint8_t who[RANDOM];
                if (!bl_str_cut(rest, ' ', &word, &rest) || !bl_str_eq(word, label) ||
                    !bl_str_cut(rest, ' ', &word, &rest) || bl_hex_decode(word, who, sizeof(who)) != RANDOM ||
                    memcmp(who, random, RANDOM) != 0 || !bl_str_cut(rest, '\n', &word, &rest))
                        continue;
                int k = bl_hex_decode(word, secret, SECRET_MAX);
                n = k > 0 ? k : 0;
        }
        if (f)
                (void)fclose(f);
        return n;
}

/* Who sends application data has its secret, and has written it down before. */
static int get_key(struct bl_overhear *o, struct side *s)
{
        const struct side *other = find(o, &s->to, &s->from);
        const struct side *client = s->is_client ? s : other, *server = s->is_client ? other : s;
        if (!client || !server || !client->said_hello || !server->suite)
                return BL_ENOENT;
        struct bl_str label = s->is_client ? BL_STR("CLIENT_TRAFFIC_SECRET_0") : BL_STR("SERVER_TRAFFIC_SECRET_0");
        if (look_up(o, label, client->random, s->secret) != (int)server->suite->secret)
                return BL_ENOENT;
        return arm(s, server->suite);
}

/* --- records --- */

static void on_hello(struct side *s, const uint8_t *p, size_t n)
{
        size_t at = 4 + 2 + RANDOM; /* head, version */
        if (n < at + 1)
                return;
        if (p[0] == HELLO_CLIENT) { /* a second one, after HelloRetryRequest, has the same random */
                s->said_hello = s->is_client = true;
                memcpy(s->random, p + 6, RANDOM);
        } else if (p[0] == HELLO_SERVER && n >= at + 1 + p[at] + 2) {
                at += 1u + p[at];
                s->said_hello = true;
                s->suite = suite_of((uint16_t)(p[at] << 8 | p[at + 1]));
        }
}

/* The octets in o->clear, or -1: not with this key and number. */
static int decrypt(struct bl_overhear *o, struct side *s, const uint8_t *head, size_t n)
{
        uint8_t nonce[NONCE];
        size_t len = sizeof(o->clear);
        memcpy(nonce, s->iv, NONCE);
        for (unsigned i = 0; i < 8; i++) /* RFC 8446 section 5.3 */
                nonce[NONCE - 1 - i] ^= (uint8_t)(s->seq >> (8 * i));
        if (gnutls_aead_cipher_decrypt(s->aead, nonce, NONCE, head, RECORD_HEAD, TAG, head + RECORD_HEAD, n, o->clear,
                                       &len) < 0)
                return -1;
        s->seq++;
        return (int)len;
}

static void on_record(struct bl_overhear *o, struct side *s, const struct bl_captured *c, size_t n)
{
        uint8_t *body = s->buf + RECORD_HEAD;
        if (s->buf[0] == TYPE_HANDSHAKE)
                on_hello(s, body, n);
        if (s->buf[0] != TYPE_DATA || (!s->aead && get_key(o, s) < 0))
                return; /* the handshake's own, which nothing here is about */
        int len = decrypt(o, s, s->buf, n);
        if (len < 0) {
                o->failed += s->seq > 0; /* before the first of these keys: still the handshake's */
                return;
        }
        while (len > 0 && o->clear[len - 1] == 0) /* padding, RFC 8446 section 5.4 */
                len--;
        if (len == 0)
                return;
        uint8_t type = o->clear[--len];
        if (type == TYPE_HANDSHAKE && len > 0 && o->clear[0] == KEY_UPDATE) {
                uint8_t next[SECRET_MAX];
                if (expand(s->with, s->secret, "traffic upd", next, s->with->secret) < 0)
                        o->failed++;
                memcpy(s->secret, next, s->with->secret);
                if (arm(s, s->with) < 0)
                        o->failed++;
        } else if (type == TYPE_DATA && len > 0) {
                struct bl_captured clear = *c;
                clear.octets = bl_str_make((const char *)o->clear, (size_t)len);
                o->seen(o->arg, &clear);
        }
}

static void on_octets(struct bl_overhear *o, struct side *s, const struct bl_captured *c)
{
        struct bl_str in = c->octets;
        while (in.n && !s->dark) {
                size_t want = RECORD_HEAD;
                if (s->n >= RECORD_HEAD)
                        want += (size_t)s->buf[3] << 8 | s->buf[4];
                if (want > sizeof(s->buf) || (s->n >= RECORD_HEAD && want == RECORD_HEAD)) { /* not TLS */
                        s->dark = true;
                        return;
                }
                size_t n = want - s->n < in.n ? want - s->n : in.n;
                memcpy(s->buf + s->n, in.p, n);
                s->n += n;
                in = bl_str_from(in, n);
                if (s->n == want && want > RECORD_HEAD) {
                        on_record(o, s, c, want - RECORD_HEAD);
                        s->n = 0;
                }
        }
}

void bl_overhear_see(struct bl_overhear *o, const struct bl_captured *c)
{
        struct side *s = find(o, &c->from, &c->to);
        if (c->opened) {
                drop(o, s);
                s = make(o, c);
        }
        if (c->opened || c->reset)
                o->seen(o->arg, c);
        if (!s)
                return;
        if (c->octets.n)
                on_octets(o, s, c);
        if (!c->reset)
                return;
        struct side *other = find(o, &c->to, &c->from); /* it may still need our hello */
        s->ended = true;
        if (!other || other->ended) {
                drop(o, other);
                drop(o, s);
        }
}

struct bl_overhear *bl_overhear_new(const char *keylog_file, void (*seen)(void *arg, const struct bl_captured *),
                                    void *arg)
{
        struct bl_overhear *o = calloc(1, sizeof(*o));
        if (o && !(o->keylog_file = strdup(keylog_file))) {
                free(o);
                return NULL;
        }
        if (o) {
                o->seen = seen;
                o->arg = arg;
        }
        return o;
}

static void drop_node(struct bl_hnode *n, void *arg)
{
        (void)arg;
        forget(BL_CONTAINER(n, struct side, node));
}

void bl_overhear_free(struct bl_overhear *o)
{
        if (!o)
                return;
        bl_htab_each(&o->sides, drop_node, NULL);
        bl_htab_fini(&o->sides);
        free(o->keylog_file);
        free(o);
}

uint64_t bl_overhear_failed(const struct bl_overhear *o)
{
        return o->failed;
}
