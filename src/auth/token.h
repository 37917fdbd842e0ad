/*
 * The Path URI P and its kin (protocol.md section 4): what an edge cluster says about a registration, in a URI that
 * every node of the cluster can verify with the shared key and nobody else can make. Pure.
 *
 *   sip:joe+k3v9x0q2+e1+e3+Ab7…@edge.example.com;lr;ob
 *       │   │        │  │  └ key id (one character) and truncated MAC over all before it and the cluster's name
 *       │   │        └──┴─── the nodes of the set, primary first; one `*` for UAs that are told nothing (legacy)
 *       │   └ keyed digest of the instance
 *       └ AOR user, escaped (`+`, `@` too); `joe%40other.example` when its domain is not the cluster's default
 * Sealed form: the same content under AEAD: sip:~KEYID-BASE64URL@edge.example.com;lr. The nonce is a MAC of the
 * content, so one content has one P.
 */
#pragma once
#include "base/crypto.h"
#include "sip/uri.h"

enum {
        BL_TOKEN_NODES = 8,
        BL_TOKEN_MAX = 512 /* octets of a whole URI */,
        BL_TOKEN_INSTANCE = 16 /* characters at most */,
        BL_TOKEN_DIALOG = 16
};

struct bl_token_keys; /* any thread */
/*
 * Key file: lines `ID SECRET`, ID one of A-Z a-z 0-9, SECRET at least 32 hex digits or base64url of 16 octets; `#`
 * comments. The first signs, all verify. On failure ret_error (at least 200 octets) says what is wrong, with the line.
 * NULL then.
 */
struct bl_token_keys *bl_token_keys_parse(struct bl_str file, char *ret_error, size_t error_cap);
void bl_token_keys_free(struct bl_token_keys *k); /* accepts NULL */
/* Exchanges the contents: `k` signs and verifies by what was `fresh`, at once and on all threads. What it had is in
 * `fresh` then, to be freed when no thread is in a call that began before. */
void bl_token_keys_swap(struct bl_token_keys *k, struct bl_token_keys *fresh);
unsigned bl_token_keys_count(const struct bl_token_keys *k);
char bl_token_keys_signer(const struct bl_token_keys *k); /* the first one's id */

struct bl_token {               /* slices into the URI's text, or into the caller's scratch for unescaped parts */
        struct bl_str user;     /* AOR user, unescaped */
        struct bl_str domain;   /* AOR domain */
        struct bl_str instance; /* its digest's text */
        struct bl_str node[BL_TOKEN_NODES];
        unsigned n_nodes; /* 0 when star */
        bool star;
};
struct bl_token_cluster {             /* what P is relative to */
        struct bl_str name;           /* host of P */
        struct bl_str default_domain; /* AOR domain left out of P */
        const struct bl_token_keys *keys;
        bool sealed; /* how to write; reading takes both */
};
/* Appends `sip:USER@cluster` (no parameters: callers add ;lr;ob and such). BL_ELIMIT when too long; BL_EINVAL: no user,
 * an instance or node name that is not of letters, digits, `-`, `_` (nodes: `.`), or neither nodes nor star. */
int bl_token_put(const struct bl_token_cluster *c, const struct bl_token *t, struct bl_sb *out);
/*
 * Opens the user part of a URI whose host is the cluster's. `scratch` (BL_TOKEN_MAX octets) holds unescaped or unsealed
 * text. 0; BL_EMALFORMED: no token (user part of another shape); BL_ENOENT: unknown key id; BL_EAUTH: MAC wrong
 * (compared in constant time).
 */
int bl_token_open(const struct bl_token_cluster *c, struct bl_str user_part, char *scratch, struct bl_token *ret_token);
/* Digest of an instance (`+sip.instance` as written without quotes) or, without one, of the Contact URI; appended,
 * BL_TOKEN_INSTANCE characters at most. */
void bl_token_instance(const struct bl_token_cluster *c, struct bl_str instance, struct bl_sb *out);
/* Whether `digest`, out of a verified P, is that instance's: by any key, since P may be older than the first one.
 * Constant time. */
bool bl_token_instance_ok(const struct bl_token_cluster *c, struct bl_str instance, struct bl_str digest);
/* DIALOG: keyed digest of `what` (an edge: P's user part; a home: its domain, lower case) and the Call-ID; appended.
 * Signed with the first key. */
void bl_token_dialog(const struct bl_token_keys *k, struct bl_str what, struct bl_str call_id, struct bl_sb *out);
bool bl_token_dialog_ok(const struct bl_token_keys *k, struct bl_str what, struct bl_str call_id,
                        struct bl_str d); /* any key; constant time */
/* An edge's branch (with the cookie): keyed digest of the received top Via's sent-by and branch, Call-ID and CSeq
 * number, first key; `salt` tells targets apart (0 for the one target of an edge). Equal on every edge. */
void bl_token_branch(const struct bl_token_keys *k, struct bl_str sent_by, struct bl_str branch, struct bl_str call_id,
                     uint32_t cseq, unsigned salt, struct bl_sb *out);
/* A secret of the cluster for one other purpose (nonces, ticket keys), from the first key: bl_kdf. */
void bl_token_derive(const struct bl_token_keys *k, struct bl_str label, uint8_t ret[32]);
