/* Certificates of every kind, good and bad, in files of a folder of the test's own. */
#pragma once
#include "unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <gnutls/x509.h>

#include "io/creds.h"

struct pki_want {
        const char *name;      /* of the files: NAME.pem, NAME.key */
        const char *cn;        /* NULL: the name */
        const char *uri, *dns; /* SANs; NULL: none */
        const char *signer;    /* NAME of another; NULL: itself */
        const char *purpose;   /* OID; NULL: none */
        int64_t from, to;      /* seconds from now; both 0: valid for an hour */
        bool ca, rsa;
};

struct pki {
        char dir[64];
        char path[8][256];
        unsigned turn;
};

static inline void pki_open(struct pki *p)
{
        snprintf(p->dir, sizeof(p->dir), "/tmp/belay-pki-XXXXXX");
        assert_non_null(mkdtemp(p->dir));
        p->turn = 0;
}

/* The path of a file; good for the next seven calls. */
static inline struct bl_str pki_path(struct pki *p, const char *name, const char *ending)
{
        char *at = p->path[p->turn++ % 8];
        struct bl_sb b = {at, 0, sizeof(p->path[0]) - 1, false};
        bl_sb_fmt(&b, "%s/%s%s", p->dir, name, ending);
        at[b.n] = '\0';
        return bl_str_z(at);
}

static inline void pki_close(struct pki *p)
{
        char cmd[128];
        snprintf(cmd, sizeof(cmd), "rm -rf '%s'", p->dir);
        assert_int_equal(system(cmd), 0);
}

static inline void pki_write(struct pki *p, const char *name, const char *ending, const void *octets, size_t n)
{
        FILE *f = fopen(pki_path(p, name, ending).p, "w");
        assert_non_null(f);
        assert_int_equal(fwrite(octets, 1, n, f), n);
        assert_int_equal(fclose(f), 0);
}

static inline size_t pki_read(struct pki *p, const char *name, const char *ending, char *buf, size_t cap)
{
        FILE *f = fopen(pki_path(p, name, ending).p, "r");
        assert_non_null(f);
        size_t n = fread(buf, 1, cap - 1, f);
        fclose(f);
        buf[n] = '\0';
        return n;
}

static inline void pki_load(struct pki *p, const char *name, gnutls_x509_crt_t crt, gnutls_x509_privkey_t key)
{
        char pem[8192];
        gnutls_datum_t d = {(unsigned char *)pem, (unsigned)pki_read(p, name, ".pem", pem, sizeof(pem))};
        assert_int_equal(gnutls_x509_crt_import(crt, &d, GNUTLS_X509_FMT_PEM), 0);
        d.size = (unsigned)pki_read(p, name, ".key", pem, sizeof(pem));
        assert_int_equal(gnutls_x509_privkey_import(key, &d, GNUTLS_X509_FMT_PEM), 0);
}

static inline void pki_fill(gnutls_x509_crt_t crt, gnutls_x509_privkey_t key, const struct pki_want *w)
{
        static unsigned char serial;
        const char *cn = w->cn ? w->cn : w->name;
        int64_t now = time(NULL);
        serial++;
        gnutls_x509_privkey_generate(key, w->rsa ? GNUTLS_PK_RSA : GNUTLS_PK_ECDSA,
                                     w->rsa ? 2048 : GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0);
        gnutls_x509_crt_set_version(crt, 3);
        gnutls_x509_crt_set_serial(crt, &serial, 1);
        gnutls_x509_crt_set_activation_time(crt, now + (w->from || w->to ? w->from : -3600));
        gnutls_x509_crt_set_expiration_time(crt, now + (w->from || w->to ? w->to : 90 * 86400));
        gnutls_x509_crt_set_key(crt, key);
        gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, cn, (unsigned)strlen(cn));
        gnutls_x509_crt_set_basic_constraints(crt, w->ca, -1);
        if (w->ca)
                gnutls_x509_crt_set_key_usage(crt, GNUTLS_KEY_KEY_CERT_SIGN);
        if (w->uri)
                gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_URI, w->uri, (unsigned)strlen(w->uri),
                                                     GNUTLS_FSAN_APPEND);
        if (w->dns)
                gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, w->dns, (unsigned)strlen(w->dns),
                                                     GNUTLS_FSAN_APPEND);
        if (w->purpose)
                gnutls_x509_crt_set_key_purpose_oid(crt, w->purpose, 0);
}

/* NAME.pem, NAME.key, and both in NAME.both. */
static inline void pki_make(struct pki *p, const struct pki_want *w)
{
        gnutls_x509_crt_t crt, signer;
        gnutls_x509_privkey_t key, signer_key;
        char pem[8192];
        size_t n = sizeof(pem), k;
        gnutls_x509_crt_init(&crt);
        gnutls_x509_privkey_init(&key);
        gnutls_x509_crt_init(&signer);
        gnutls_x509_privkey_init(&signer_key);
        pki_fill(crt, key, w);
        if (w->signer)
                pki_load(p, w->signer, signer, signer_key);
        assert_int_equal(gnutls_x509_crt_sign2(crt, w->signer ? signer : crt, w->signer ? signer_key : key,
                                               GNUTLS_DIG_SHA256, 0),
                         0);
        assert_int_equal(gnutls_x509_crt_export(crt, GNUTLS_X509_FMT_PEM, pem, &n), 0);
        pki_write(p, w->name, ".pem", pem, n);
        k = sizeof(pem) - n;
        assert_int_equal(gnutls_x509_privkey_export(key, GNUTLS_X509_FMT_PEM, pem + n, &k), 0);
        pki_write(p, w->name, ".key", pem + n, k);
        pki_write(p, w->name, ".both", pem, n + k);
        gnutls_x509_crt_deinit(crt);
        gnutls_x509_privkey_deinit(key);
        gnutls_x509_crt_deinit(signer);
        gnutls_x509_privkey_deinit(signer_key);
}

/* An authority "ca", and "a.example" and "b.example" by it. */
static inline void pki_usual(struct pki *p)
{
        pki_open(p);
        pki_make(p, &(struct pki_want){.name = "ca", .ca = true});
        pki_make(p,
                 &(struct pki_want){.name = "a.example", .signer = "ca", .uri = "sip:a.example", .dns = "a.example"});
        pki_make(p,
                 &(struct pki_want){.name = "b.example", .signer = "ca", .uri = "sip:b.example", .dns = "b.example"});
}

/* Credentials with the certificates of these names ("" ends), trusting `ca` (NULL: nobody), tickets by `secret` (0:
 * none). */
static inline struct bl_creds *pki_creds(struct pki *p, const char *ca, uint8_t secret, const char *const *names)
{
        struct bl_creds_pair pairs[4];
        struct bl_creds_conf c = {.pairs = pairs, .ca = ca ? pki_path(p, ca, ".pem") : (struct bl_str){0}};
        char text[512];
        struct bl_sb err = BL_SB(text);
        struct bl_creds *creds = NULL;
        memset(c.ticket_secret, secret, sizeof(c.ticket_secret));
        for (; names && *names; names++)
                pairs[c.n_pairs++] = (struct bl_creds_pair){.cert = pki_path(p, *names, ".both")};
        if (bl_creds_new(&c, &err, &creds) < 0)
                fail_msg("%.*s", (int)err.n, text);
        return creds;
}
#define PKI_CREDS(p_, ca_, secret_, ...) pki_creds((p_), (ca_), (secret_), (const char *const[]){__VA_ARGS__, NULL})
