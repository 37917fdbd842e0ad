#include "io/creds.h"

#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/tls_internal.h"

enum { FILE_MAX = 4 << 20, NAMES_ARENA = 256 << 10, SOON_S = 14 * 86400 };

/* TLS 1.2 and 1.3; forward secrecy and authenticated encryption only. */
static const char PRIORITY[] = "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-KX-ALL:+ECDHE-ECDSA:+ECDHE-RSA:"
                               "-CIPHER-ALL:+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305:-MAC-ALL:+AEAD:"
                               "-GROUP-ALL:+GROUP-X25519:+GROUP-SECP256R1:+GROUP-SECP384R1";

static const char CERT_HINT[] = "`belay cert` makes one for a lab";

/* ---- text ---- */

static int fail(struct bl_sb *err, struct bl_str path, const char *what, const char *why)
{
        bl_sb_fmt(err, "%s (%s): %s", path.p, what, why);
        return BL_EINVAL;
}

static struct bl_str copy_lower(struct bl_str s)
{
        char *p = malloc(s.n + 1);
        if (!p)
                return (struct bl_str){0};
        for (size_t i = 0; i < s.n; i++)
                p[i] = bl_lower(s.p[i]);
        p[s.n] = '\0';
        return bl_str_make(p, s.n);
}

/* The PEM block that ends its first line with "PRIVATE KEY-----", wherever in the file it stands. */
static struct bl_str key_block(struct bl_str text)
{
        static const char begin[] = "-----BEGIN ", mark[] = "PRIVATE KEY-----";
        for (const char *p = text.p; p && (p = strstr(p, begin)); p++) {
                const char *end = strchr(p, '\n');
                const char *label = strstr(p, mark);
                if (label && (!end || label < end))
                        return bl_str_make(p, text.n - (size_t)(p - text.p));
        }
        return (struct bl_str){0};
}

/* ---- names ---- */

/* sip:DOMAIN without user part, port or parameters left on: what a URI SAN proves. */
static struct bl_str domain_of_uri(struct bl_str uri)
{
        static const struct bl_str sip = {"sip:", 4};
        if (uri.n <= sip.n || !bl_str_ieq(bl_str_make(uri.p, sip.n), sip) || bl_str_find(uri, '@') >= 0)
                return (struct bl_str){0};
        struct bl_str host, rest;
        (void)bl_str_cut(bl_str_from(uri, sip.n), ';', &host, &rest);
        (void)bl_str_cut(host, ':', &host, &rest);
        return host;
}

static int add_name(struct identity *id, struct bl_str name)
{
        if (!name.n)
                return 0;
        for (unsigned i = 0; i < id->n_names; i++) {
                if (bl_str_ieq(id->names[i], name))
                        return 0;
        }
        id->names[id->n_names] = copy_lower(name);
        return id->names[id->n_names].p ? (int)++id->n_names : BL_ENOMEM;
}

/* The domains it proves come first in `names`: URIs, or else DNS names, or else the common name. */
static int take_names(struct identity *id, const struct names *n)
{
        int rc = 0;
        id->names = calloc((size_t)n->n_uri + n->n_dns + 1, sizeof(*id->names));
        if (!id->names)
                return BL_ENOMEM;
        id->info.domains = id->names;
        for (unsigned i = 0; rc >= 0 && i < n->n_uri; i++)
                rc = add_name(id, domain_of_uri(n->uri[i]));
        id->info.n_domains = id->n_names;
        for (unsigned i = 0; rc >= 0 && i < n->n_dns; i++)
                rc = add_name(id, n->dns[i]);
        if (rc >= 0 && id->n_names == 0)
                rc = add_name(id, n->cn);
        if (id->info.n_domains == 0)
                id->info.n_domains = id->n_names;
        return rc < 0 ? rc : 0;
}

static int describe(struct identity *id, gnutls_x509_crt_t leaf)
{
        struct names n;
        id->info.not_before = gnutls_x509_crt_get_activation_time(leaf);
        id->info.not_after = gnutls_x509_crt_get_expiration_time(leaf);
        struct bl_arena *a = bl_arena_new(NAMES_ARENA);
        int rc = a ? bl_verify_names(leaf, a, &n) : BL_ENOMEM;
        if (rc == 0)
                rc = take_names(id, &n);
        bl_arena_free(a);
        return rc;
}

/* ---- one pair of files ---- */

static int load_chain(struct identity *id, const struct bl_creds_pair *pair, struct bl_str text, struct bl_sb *err)
{
        gnutls_datum_t pem = {(unsigned char *)text.p, (unsigned)text.n};
        gnutls_x509_crt_t *crts = NULL;
        unsigned n = 0;
        int rc = gnutls_x509_crt_list_import2(&crts, &n, &pem, GNUTLS_X509_FMT_PEM, GNUTLS_X509_CRT_LIST_SORT);
        if (rc < 0 || n == 0)
                return fail(err, pair->cert, "tls.cert",
                            rc == GNUTLS_E_NO_CERTIFICATE_FOUND || rc == GNUTLS_E_BASE64_UNEXPECTED_HEADER_ERROR ||
                                            n == 0
                                    ? "there is no certificate in it; it must be PEM, our own first, then its issuers"
                                    : gnutls_strerror(rc));
        if (n > TLS_CHAIN) {
                rc = fail(err, pair->cert, "tls.cert", "the chain is longer than 16 certificates");
        } else {
                id->chain = calloc(n, sizeof(*id->chain));
                rc = id->chain ? describe(id, crts[0]) : BL_ENOMEM;
                id->n_chain = n;
                if (rc == 0 && gnutls_pcert_import_x509_list(id->chain, crts, &id->n_chain, 0) < 0) {
                        id->n_chain = 0;
                        rc = BL_EMALFORMED;
                }
                if (rc == 0 && gnutls_x509_crt_get_raw_issuer_dn(crts[n - 1], &id->issuer) < 0)
                        rc = BL_EMALFORMED;
                if (rc < 0)
                        rc = fail(err, pair->cert, "tls.cert", bl_err_text(rc));
        }
        for (unsigned i = 0; i < n; i++)
                gnutls_x509_crt_deinit(crts[i]);
        gnutls_free(crts);
        return rc;
}

/* Whether the certificate's public key is that of the private one. */
static bool is_pair(struct identity *id)
{
        uint8_t a[64], b[64];
        size_t na = sizeof(a), nb = sizeof(b);
        gnutls_pubkey_t of_key = NULL;
        bool same = gnutls_pubkey_init(&of_key) == 0 && gnutls_pubkey_import_privkey(of_key, id->key, 0, 0) == 0 &&
                    gnutls_pubkey_get_key_id(of_key, GNUTLS_KEYID_USE_SHA256, a, &na) == 0 &&
                    gnutls_pubkey_get_key_id(id->chain[0].pubkey, GNUTLS_KEYID_USE_SHA256, b, &nb) == 0 && na == nb &&
                    memcmp(a, b, na) == 0;
        gnutls_pubkey_deinit(of_key);
        return same;
}

/* PKCS #8 says so in its label, older forms in a header line. */
static bool is_encrypted(struct bl_str block)
{
        static const char label[] = "-----BEGIN ENCRYPTED ";
        const char *header = strstr(block.p, "Proc-Type: 4,ENCRYPTED"), *end = strstr(block.p, "-----END ");
        return bl_str_starts(block, bl_str_z(label)) || (header && end && header < end);
}

static int load_key(struct identity *id, const struct bl_creds_pair *pair, struct bl_str text, struct bl_sb *err)
{
        struct bl_str path = pair->key.n ? pair->key : pair->cert;
        struct bl_str block = key_block(text);
        gnutls_datum_t pem = {(unsigned char *)block.p, (unsigned)block.n};
        if (!block.n)
                return fail(err, path, "tls.key",
                            pair->key.n ? "there is no private key in it; it must be PEM"
                                        : "there is a certificate but no private key in it; name the key's file in "
                                          "tls.key");
        if (is_encrypted(block))
                return fail(err, path, "tls.key",
                            "is encrypted, and a server has nobody to ask for the password; store it in the clear, "
                            "readable by the server's user only");
        int rc = gnutls_privkey_init(&id->key);
        if (rc == 0)
                rc = gnutls_privkey_import_x509_raw(id->key, &pem, GNUTLS_X509_FMT_PEM, NULL, 0);
        if (rc < 0)
                return fail(err, path, "tls.key", gnutls_strerror(rc));
        id->pk = (gnutls_pk_algorithm_t)gnutls_privkey_get_pk_algorithm(id->key, NULL);
        if (is_pair(id))
                return 0;
        bl_sb_fmt(err, "%s (tls.key): does not belong to the certificate in %s; replace both together", path.p,
                  pair->cert.p);
        return BL_EINVAL;
}

static int load_pair(struct identity *id, const struct bl_creds_pair *pair, struct bl_sb *err)
{
        struct bl_str cert = {0}, key = {0};
        int rc = bl_file_read(pair->cert.p, "tls.cert", CERT_HINT, FILE_MAX, err, &cert);
        if (rc == 0 && pair->key.n)
                rc = bl_file_read(pair->key.p, "tls.key", CERT_HINT, FILE_MAX, err, &key);
        if (rc == 0)
                rc = load_chain(id, pair, cert, err);
        if (rc == 0)
                rc = load_key(id, pair, pair->key.n ? key : cert, err);
        if (rc == 0) {
                id->info.file = bl_str_make(strdup(pair->cert.p), pair->cert.n);
                rc = id->info.file.p ? 0 : BL_ENOMEM;
        }
        bl_file_free(cert);
        bl_file_free(key);
        return rc;
}

static void drop_pair(struct identity *id)
{
        for (unsigned i = 0; i < id->n_chain; i++)
                gnutls_pcert_deinit(&id->chain[i]);
        free(id->chain);
        gnutls_privkey_deinit(id->key);
        gnutls_free(id->issuer.data);
        for (unsigned i = 0; i < id->n_names; i++)
                free((char *)id->names[i].p);
        free(id->names);
        free((char *)id->info.file.p);
}

/* ---- whom to believe ---- */

static int load_trust(struct bl_creds *c, struct bl_str ca, struct bl_sb *err)
{
        struct bl_str text;
        if (!ca.n)
                return 0;
        c->trust = true;
        if (bl_str_eq(ca, BL_STR("system"))) {
                if (gnutls_certificate_set_x509_system_trust(c->cred) > 0)
                        return 0;
                bl_sb_addz(err,
                           "tls.ca: system: this system has no list of trusted issuers; install ca-certificates, or "
                           "name a file");
                return BL_EINVAL;
        }
        int rc = bl_file_read(ca.p, "tls.ca", CERT_HINT, FILE_MAX, err, &text);
        if (rc < 0)
                return rc;
        gnutls_datum_t pem = {(unsigned char *)text.p, (unsigned)text.n};
        rc = gnutls_certificate_set_x509_trust_mem(c->cred, &pem, GNUTLS_X509_FMT_PEM);
        bl_file_free(text);
        if (rc > 0)
                return 0;
        return fail(err, ca, "tls.ca",
                    rc == 0 || rc == GNUTLS_E_NO_CERTIFICATE_FOUND ? "there is no certificate in it; it must be PEM"
                                                                   : gnutls_strerror(rc));
}

static int fill(struct bl_creds *c, const struct bl_creds_conf *conf, struct bl_sb *err)
{
        static const uint8_t none[BL_CREDS_TICKET_SECRET];
        if (conf->n_pairs > BL_CREDS_IDS) {
                bl_sb_fmt(err, "tls.cert: at most %d certificates are possible", BL_CREDS_IDS);
                return BL_ELIMIT;
        }
        memcpy(c->ticket_secret, conf->ticket_secret, sizeof(c->ticket_secret));
        c->give_tickets = memcmp(none, c->ticket_secret, sizeof(none)) != 0;
        if (gnutls_certificate_allocate_credentials(&c->cred) < 0 ||
            gnutls_priority_init(&c->priority, PRIORITY, NULL) < 0) {
                bl_sb_addz(err, "tls: the library refuses to start");
                return BL_ENOMEM;
        }
        gnutls_certificate_set_retrieve_function3(c->cred, bl_tls_choose);
        for (unsigned i = 0; i < conf->n_pairs; i++) {
                c->n_ids++;
                int rc = load_pair(&c->ids[i], &conf->pairs[i], err);
                if (rc < 0)
                        return rc;
        }
        return load_trust(c, conf->ca, err);
}

int bl_creds_new(const struct bl_creds_conf *conf, struct bl_sb *err, struct bl_creds **ret_creds)
{
        struct bl_creds *c = calloc(1, sizeof(*c));
        if (!c) {
                bl_sb_addz(err, "tls: no memory");
                return BL_ENOMEM;
        }
        atomic_init(&c->refs, 1);
        int rc = fill(c, conf, err);
        if (rc < 0)
                bl_creds_unref(c);
        else
                *ret_creds = c;
        return rc;
}

struct bl_creds *bl_creds_ref(struct bl_creds *c)
{
        atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
        return c;
}

void bl_creds_unref(struct bl_creds *c)
{
        if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
                return;
        for (unsigned i = 0; i < c->n_ids; i++)
                drop_pair(&c->ids[i]);
        if (c->cred)
                gnutls_certificate_free_credentials(c->cred);
        if (c->priority)
                gnutls_priority_deinit(c->priority);
        explicit_bzero(c->ticket_secret, sizeof(c->ticket_secret));
        free(c);
}

/* ---- looking ---- */

unsigned bl_creds_count(const struct bl_creds *c)
{
        return c->n_ids;
}

const struct bl_creds_id *bl_creds_get(const struct bl_creds *c, unsigned i)
{
        return &c->ids[i].info;
}

bool bl_creds_prove(const struct bl_creds *c, struct bl_str domain)
{
        for (unsigned i = 0; i < c->n_ids; i++) {
                for (unsigned k = 0; k < c->ids[i].info.n_domains; k++) {
                        if (bl_str_ieq(c->ids[i].info.domains[k], domain))
                                return true;
                }
        }
        return false;
}

const char *bl_creds_doubt(const struct bl_creds_id *id, int64_t wall)
{
        if (wall > id->not_after)
                return "expired";
        if (wall < id->not_before)
                return "not_yet_valid";
        return wall > id->not_after - SOON_S ? "expires_soon" : NULL;
}
