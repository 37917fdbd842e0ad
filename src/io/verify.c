/* What the far end's certificates say, and whether to believe them: the chain, its dates, its purpose. Names are not
 * judged here. */
#include <stdlib.h>
#include <string.h>

#include "io/tls_internal.h"

enum { NAME = 512 };

/* ---- names ---- */

static struct bl_str *grow(struct bl_arena *a, struct bl_str *old, unsigned n)
{
        if (old)
                return n < TLS_NAMES ? old : NULL;
        return bl_arena_alloc(a, TLS_NAMES * sizeof(*old));
}

static int add(struct bl_arena *a, struct bl_str **list, uint16_t *n, struct bl_str name)
{
        struct bl_str *at = grow(a, *list, *n);
        if (!at)
                return *list ? 0 : BL_ENOMEM; /* more than anybody needs: left out */
        *list = at;
        at[*n] = bl_arena_str(a, name);
        if (!at[*n].p && name.n)
                return BL_ENOMEM;
        ++*n;
        return 0;
}

static int alternative_names(gnutls_x509_crt_t crt, struct bl_arena *a, struct names *ret)
{
        char buf[NAME];
        for (unsigned i = 0;; i++) {
                size_t n = sizeof(buf);
                int rc = 0, type = gnutls_x509_crt_get_subject_alt_name(crt, i, buf, &n, NULL);
                if (type == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
                        return 0;
                if (type == GNUTLS_E_SHORT_MEMORY_BUFFER || type == GNUTLS_E_X509_UNKNOWN_SAN)
                        continue; /* longer than any domain */
                if (type < 0)
                        return BL_EMALFORMED;
                if (type == GNUTLS_SAN_DNSNAME)
                        rc = add(a, &ret->dns, &ret->n_dns, bl_str_make(buf, n));
                else if (type == GNUTLS_SAN_URI)
                        rc = add(a, &ret->uri, &ret->n_uri, bl_str_make(buf, n));
                if (rc < 0)
                        return rc;
        }
}

int bl_verify_names(gnutls_x509_crt_t crt, struct bl_arena *arena, struct names *ret_names)
{
        char buf[NAME];
        size_t n = sizeof(buf);
        struct names found = {0};
        int rc = alternative_names(crt, arena, &found);
        if (rc < 0)
                return rc;
        if (gnutls_x509_crt_get_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, 0, buf, &n) == 0)
                found.cn = bl_arena_str(arena, bl_str_make(buf, n));
        *ret_names = found;
        return 0;
}

/* ---- the chain ---- */

static bool is_self_signed(gnutls_session_t s, gnutls_x509_crt_t leaf)
{
        unsigned n = 0;
        (void)gnutls_certificate_get_peers(s, &n);
        return n == 1 && gnutls_x509_crt_check_issuer(leaf, leaf);
}

static const char *reason(gnutls_session_t s, gnutls_x509_crt_t leaf, unsigned status)
{
        static const struct {
                unsigned flag;
                const char *text;
        } reasons[] = {
                {GNUTLS_CERT_REVOKED, "revoked"},
                {GNUTLS_CERT_SIGNER_NOT_FOUND, "the issuer is unknown"},
                {GNUTLS_CERT_SIGNER_NOT_CA, "the issuer is no authority"},
                {GNUTLS_CERT_SIGNATURE_FAILURE, "the signature is wrong"},
                {GNUTLS_CERT_SIGNER_CONSTRAINTS_FAILURE, "the issuer may not sign for this name or purpose"},
                {GNUTLS_CERT_EXPIRED, "expired"},
                {GNUTLS_CERT_NOT_ACTIVATED, "not yet valid"},
                {GNUTLS_CERT_INSECURE_ALGORITHM, "signed with a weak algorithm"},
                {GNUTLS_CERT_PURPOSE_MISMATCH, "not for this purpose"},
        };
        if ((status & GNUTLS_CERT_SIGNER_NOT_FOUND) && is_self_signed(s, leaf))
                return "self-signed";
        for (size_t i = 0; i < BL_ARRAY_LEN(reasons); i++) {
                if (status & reasons[i].flag)
                        return reasons[i].text;
        }
        return "it does not verify";
}

/*
 * RFC 5924: a certificate that limits its purposes must be for SIP domains, or for anything. Ordinary server
 * certificates are for TLS servers only, and their owner is that domain whichever side opens the connection; one for
 * TLS clients only proves nothing about a server.
 */
static bool fits_purpose(gnutls_x509_crt_t leaf, bool far_is_client)
{
        static const char sip_domain[] = "1.3.6.1.5.5.7.3.20";
        char oid[128];
        for (unsigned i = 0;; i++) {
                size_t n = sizeof(oid);
                int rc = gnutls_x509_crt_get_key_purpose_oid(leaf, i, oid, &n, NULL);
                if (rc == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
                        return i == 0;
                if (rc == GNUTLS_E_SHORT_MEMORY_BUFFER)
                        continue;
                if (rc < 0)
                        return false;
                if (strcmp(oid, sip_domain) == 0 || strcmp(oid, GNUTLS_KP_ANY) == 0 ||
                    strcmp(oid, GNUTLS_KP_TLS_WWW_SERVER) == 0 ||
                    (far_is_client && strcmp(oid, GNUTLS_KP_TLS_WWW_CLIENT) == 0))
                        return true;
        }
}

static const char *verdict(gnutls_session_t s, gnutls_x509_crt_t leaf, bool trust, bool far_is_client)
{
        unsigned status = 0;
        if (!trust)
                return "no issuers are configured (tls.ca)";
        int rc = gnutls_certificate_verify_peers2(s, &status);
        if (rc < 0)
                return gnutls_strerror(rc);
        if (status)
                return reason(s, leaf, status);
        return fits_purpose(leaf, far_is_client) ? NULL : "not for this purpose";
}

static void judge(gnutls_session_t s, gnutls_x509_crt_t leaf, bool trust, bool we_are_server, struct bl_arena *arena,
                  struct bl_peer *peer)
{
        struct names n;
        int rc = bl_verify_names(leaf, arena, &n);
        const char *wrong = rc < 0 ? bl_err_text(rc) : verdict(s, leaf, trust, we_are_server);
        if (wrong) {
                peer->chain = BL_EPROTO;
                peer->chain_text = bl_str_z(wrong);
        }
        if (rc < 0)
                return;
        peer->uri_san = n.uri;
        peer->n_uri = n.n_uri;
        peer->dns_san = n.dns;
        peer->n_dns = n.n_dns;
        peer->cn = n.cn;
}

void bl_verify_peer(gnutls_session_t session, bool trust, bool we_are_server, struct bl_arena *arena,
                    struct bl_peer *peer)
{
        unsigned n = 0;
        const gnutls_datum_t *certs = gnutls_certificate_get_peers(session, &n);
        gnutls_x509_crt_t leaf = NULL;
        peer->chain = BL_ENOENT;
        peer->chain_text = BL_STR("no certificate");
        if (!certs || n == 0)
                return;
        peer->chain = 0;
        peer->chain_text = (struct bl_str){0};
        if (gnutls_x509_crt_init(&leaf) == 0 && gnutls_x509_crt_import(leaf, &certs[0], GNUTLS_X509_FMT_DER) == 0) {
                judge(session, leaf, trust, we_are_server, arena, peer);
        } else {
                peer->chain = BL_EPROTO;
                peer->chain_text = BL_STR("the certificate does not parse");
        }
        if (leaf)
                gnutls_x509_crt_deinit(leaf);
}
