#include "io/cert.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <gnutls/crypto.h>
#include <gnutls/x509.h>

#include "io/file.h"

enum { PEM = 16 << 10, PATH = 4096, SERIAL = 16, BACKDATE_S = 300 /* for clocks that run behind ours */ };
static const char SIP_DOMAIN[] = "1.3.6.1.5.5.7.3.20"; /* id-kp-sipDomain */

struct bl_cert_ca {
        const char *dir;
        gnutls_x509_crt_t crt;
        gnutls_x509_privkey_t key;
};

static int path_of(char out[PATH], const char *dir, struct bl_str name, const char *ending, struct bl_sb *err)
{
        if (snprintf(out, PATH, "%s/%.*s%s", dir, BL_STR_ARG(name), ending) < PATH)
                return 0;
        bl_sb_addz(err, "the path is too long");
        return BL_ELIMIT;
}

static int failed(struct bl_sb *err, const char *path, int rc)
{
        bl_sb_fmt(err, "%s: %s", path, gnutls_strerror(rc));
        return BL_EINVAL;
}

/* ---- files ---- */

static int save(const char *path, const void *pem, size_t n, mode_t mode, struct bl_sb *err)
{
        int rc = bl_file_replace(path, bl_str_make(pem, n));
        if (rc == 0 && chmod(path, mode) < 0)
                rc = -errno;
        if (rc < 0)
                bl_sb_fmt(err, "%s: cannot be written: %s", path, bl_err_text(rc));
        return rc;
}

static int save_pair(const char *dir, struct bl_str name, gnutls_x509_crt_t crt, gnutls_x509_privkey_t key,
                     struct bl_sb *err)
{
        char path[PATH], pem[PEM];
        size_t n = sizeof(pem);
        int rc = path_of(path, dir, name, ".key", err);
        if (rc == 0 && (rc = gnutls_x509_privkey_export(key, GNUTLS_X509_FMT_PEM, pem, &n)) < 0)
                rc = failed(err, path, rc);
        if (rc == 0)
                rc = save(path, pem, n, 0600, err);
        explicit_bzero(pem, sizeof(pem));
        n = sizeof(pem);
        if (rc == 0)
                rc = path_of(path, dir, name, ".pem", err);
        if (rc == 0 && (rc = gnutls_x509_crt_export(crt, GNUTLS_X509_FMT_PEM, pem, &n)) < 0)
                rc = failed(err, path, rc);
        return rc == 0 ? save(path, pem, n, 0644, err) : rc;
}

static int load_pair(struct bl_cert_ca *ca, const char *crt_path, const char *key_path, struct bl_sb *err)
{
        struct bl_str crt = {0}, key = {0};
        const char *hint = "ca.pem and ca.key belong together: put it back, or remove both for a new authority";
        int rc = bl_file_read(crt_path, "the authority", hint, PEM, err, &crt);
        if (rc == 0)
                rc = bl_file_read(key_path, "the authority's key", hint, PEM, err, &key);
        if (rc == 0) {
                gnutls_datum_t c = {(unsigned char *)crt.p, (unsigned)crt.n};
                gnutls_datum_t k = {(unsigned char *)key.p, (unsigned)key.n};
                if ((rc = gnutls_x509_crt_import(ca->crt, &c, GNUTLS_X509_FMT_PEM)) < 0)
                        rc = failed(err, crt_path, rc);
                else if ((rc = gnutls_x509_privkey_import(ca->key, &k, GNUTLS_X509_FMT_PEM)) < 0)
                        rc = failed(err, key_path, rc);
        }
        bl_file_free(crt);
        bl_file_free(key);
        return rc;
}

/* ---- making ---- */

static int begin(gnutls_x509_crt_t crt, gnutls_x509_privkey_t key, unsigned days, int64_t wall)
{
        uint8_t serial[SERIAL] = {0}, id[64];
        size_t n = sizeof(id);
        int rc =
                gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0);
        if (rc == 0)
                rc = gnutls_rnd(GNUTLS_RND_NONCE, serial, sizeof(serial));
        serial[0] &= 0x7f; /* RFC 5280 section 4.1.2.2: positive */
        serial[0] |= 0x40;
        if (rc == 0)
                rc = gnutls_x509_crt_set_version(crt, 3);
        if (rc == 0)
                rc = gnutls_x509_crt_set_serial(crt, serial, sizeof(serial));
        if (rc == 0)
                rc = gnutls_x509_crt_set_activation_time(crt, (time_t)(wall - BACKDATE_S));
        if (rc == 0)
                rc = gnutls_x509_crt_set_expiration_time(crt, (time_t)(wall + (int64_t)days * 86400));
        if (rc == 0)
                rc = gnutls_x509_crt_set_key(crt, key);
        if (rc == 0)
                rc = gnutls_x509_crt_get_key_id(crt, 0, id, &n);
        if (rc == 0)
                rc = gnutls_x509_crt_set_subject_key_id(crt, id, n);
        return rc;
}

static int set_cn(gnutls_x509_crt_t crt, const char *cn, size_t n)
{
        return gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, cn, (unsigned)n);
}

static int make_ca(struct bl_cert_ca *ca, unsigned days, int64_t wall, struct bl_sb *err)
{
        char name[64];
        uint8_t tag[4];
        struct bl_sb b = BL_SB(name);
        int rc = gnutls_rnd(GNUTLS_RND_NONCE, tag, sizeof(tag));
        bl_sb_addz(&b, "belay lab authority "); /* two labs' authorities have different names */
        bl_sb_hex(&b, tag, sizeof(tag));
        if (rc == 0)
                rc = begin(ca->crt, ca->key, days, wall);
        if (rc == 0)
                rc = set_cn(ca->crt, b.p, b.n);
        if (rc == 0)
                rc = gnutls_x509_crt_set_basic_constraints(ca->crt, 1, 0);
        if (rc == 0)
                rc = gnutls_x509_crt_set_key_usage(ca->crt, GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN);
        if (rc == 0)
                rc = gnutls_x509_crt_sign2(ca->crt, ca->crt, ca->key, GNUTLS_DIG_SHA256, 0);
        if (rc < 0)
                return failed(err, "a new authority", rc);
        return save_pair(ca->dir, BL_STR("ca"), ca->crt, ca->key, err);
}

int bl_cert_open(const char *dir, unsigned days, int64_t wall, struct bl_sb *err, bool *ret_made,
                 struct bl_cert_ca **ret_ca)
{
        char crt[PATH], key[PATH];
        struct stat st;
        if (mkdir(dir, 0755) < 0 && errno != EEXIST) {
                int rc = -errno;
                bl_sb_fmt(err, "%s: cannot be made: %s", dir, bl_err_text(rc));
                return rc;
        }
        struct bl_cert_ca *ca = calloc(1, sizeof(*ca));
        int rc = ca && gnutls_x509_crt_init(&ca->crt) == 0 && gnutls_x509_privkey_init(&ca->key) == 0 ? 0 : BL_ENOMEM;
        if (rc < 0)
                bl_sb_addz(err, "no memory");
        if (rc == 0)
                ca->dir = dir;
        if (rc == 0 && (rc = path_of(crt, dir, BL_STR("ca"), ".pem", err)) == 0)
                rc = path_of(key, dir, BL_STR("ca"), ".key", err);
        if (rc == 0) {
                bool none = stat(crt, &st) < 0 && errno == ENOENT && stat(key, &st) < 0 && errno == ENOENT;
                rc = none ? make_ca(ca, days, wall, err) : load_pair(ca, crt, key, err);
                *ret_made = none;
        }
        if (rc < 0)
                bl_cert_close(ca);
        else
                *ret_ca = ca;
        return rc;
}

void bl_cert_close(struct bl_cert_ca *ca)
{
        if (!ca)
                return;
        if (ca->crt)
                gnutls_x509_crt_deinit(ca->crt);
        if (ca->key)
                gnutls_x509_privkey_deinit(ca->key);
        free(ca);
}

static int put_names(gnutls_x509_crt_t crt, const struct bl_str *names, unsigned n)
{
        int rc = 0;
        for (unsigned i = 0; rc == 0 && i < n; i++) {
                char uri[300];
                struct bl_sb b = BL_SB(uri);
                bl_sb_addz(&b, "sip:");
                bl_sb_add(&b, names[i]);
                rc = gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_URI, b.p, (unsigned)b.n, GNUTLS_FSAN_APPEND);
                if (rc == 0)
                        rc = gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, names[i].p,
                                                                  (unsigned)names[i].n, GNUTLS_FSAN_APPEND);
        }
        return rc;
}

static int make_node(struct bl_cert_ca *ca, gnutls_x509_crt_t crt, gnutls_x509_privkey_t key,
                     const struct bl_str *names, unsigned n, unsigned days, int64_t wall)
{
        static const char *const purposes[] = {GNUTLS_KP_TLS_WWW_SERVER, GNUTLS_KP_TLS_WWW_CLIENT, SIP_DOMAIN};
        uint8_t id[64];
        size_t n_id = sizeof(id);
        int rc = begin(crt, key, days, wall);
        if (rc == 0)
                rc = set_cn(crt, names[0].p, names[0].n);
        if (rc == 0)
                rc = put_names(crt, names, n);
        if (rc == 0)
                rc = gnutls_x509_crt_set_basic_constraints(crt, 0, -1);
        if (rc == 0)
                rc = gnutls_x509_crt_set_key_usage(crt, GNUTLS_KEY_DIGITAL_SIGNATURE);
        for (size_t i = 0; rc == 0 && i < BL_ARRAY_LEN(purposes); i++)
                rc = gnutls_x509_crt_set_key_purpose_oid(crt, purposes[i], 0);
        if (rc == 0)
                rc = gnutls_x509_crt_get_subject_key_id(ca->crt, id, &n_id, NULL);
        if (rc == 0)
                rc = gnutls_x509_crt_set_authority_key_id(crt, id, n_id);
        return rc == 0 ? gnutls_x509_crt_sign2(crt, ca->crt, ca->key, GNUTLS_DIG_SHA256, 0) : rc;
}

int bl_cert_issue(struct bl_cert_ca *ca, const struct bl_str *names, unsigned n, unsigned days, int64_t wall,
                  struct bl_sb *err)
{
        gnutls_x509_crt_t crt = NULL;
        gnutls_x509_privkey_t key = NULL;
        int rc = gnutls_x509_crt_init(&crt);
        if (rc == 0)
                rc = gnutls_x509_privkey_init(&key);
        if (rc == 0)
                rc = make_node(ca, crt, key, names, n, days, wall);
        rc = rc < 0 ? failed(err, "a new certificate", rc) : save_pair(ca->dir, names[0], crt, key, err);
        if (crt)
                gnutls_x509_crt_deinit(crt);
        if (key)
                gnutls_x509_privkey_deinit(key);
        return rc;
}
