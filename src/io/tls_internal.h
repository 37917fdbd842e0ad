/* Private to creds.c, tls.c and verify.c: the only files that know which library does TLS, beside cert.c. */
#pragma once
#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include <stdatomic.h>

#include "base/mem.h"
#include "io/creds.h"
#include "io/tls.h"

enum { TLS_CHAIN = 16 /* certificates in one chain */, TLS_NAMES = 64 /* names in one certificate */ };

struct identity {
        struct bl_creds_id info;
        struct bl_str *names; /* to be chosen by: whatever host names stand in it, lower case */
        unsigned n_names;
        gnutls_pcert_st *chain;
        unsigned n_chain;
        gnutls_privkey_t key;
        gnutls_pk_algorithm_t pk;
        gnutls_datum_t issuer; /* of the chain's last certificate, DER */
};

struct bl_creds {
        atomic_uint refs;
        gnutls_certificate_credentials_t cred;
        gnutls_priority_t priority;
        bool give_tickets, trust;
        uint8_t ticket_secret[BL_CREDS_TICKET_SECRET];
        unsigned n_ids;
        struct identity ids[BL_CREDS_IDS];
};

/* Called once when the credentials are made: which certificate a session shows (tls.c). */
gnutls_certificate_retrieve_function3 bl_tls_choose;

struct names { /* of one certificate, in an arena */
        struct bl_str *uri, *dns;
        uint16_t n_uri, n_dns;
        struct bl_str cn;
};
/* 0; BL_ENOMEM, BL_EMALFORMED. Over TLS_NAMES of one kind are left out. */
int bl_verify_names(gnutls_x509_crt_t crt, struct bl_arena *arena, struct names *ret_names);
/* Fills chain, chain_text and the names of `peer` from what the far end showed. */
void bl_verify_peer(gnutls_session_t session, bool trust, bool we_are_server, struct bl_arena *arena,
                    struct bl_peer *peer);
