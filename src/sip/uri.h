/*
 * SIP, SIPS and tel URIs (RFC 3261 section 19.1, RFC 3966), and the two comparisons that connection stickiness stands
 * on: exact (rank 1) and equivalent (rank 2, RFC 3261 section 19.1.4). Slices point into the input. Any thread.
 */
#pragma once
#include "base/base.h"
#include "sip/params.h"

enum bl_scheme { BL_SCHEME_SIP, BL_SCHEME_SIPS, BL_SCHEME_TEL, BL_SCHEME_OTHER };
enum bl_host_kind { BL_HOST_NAME, BL_HOST_V4, BL_HOST_V6 }; /* V6: with brackets in `host` */

struct bl_uri {
        struct bl_str all;
        enum bl_scheme scheme;
        struct bl_str scheme_text;
        bool has_user;
        struct bl_str user, password; /* as written, escapes and all; tel: the number is in `user` */
        struct bl_str host;           /* as written; empty for tel and others */
        enum bl_host_kind host_kind;
        uint16_t port;         /* 0 = none written */
        struct bl_str params;  /* from its first ';', or empty */
        struct bl_str headers; /* from its '?', or empty */
        struct bl_str opaque;  /* OTHER: all after the ':' */
};
/* The whole of `in` must be one URI. BL_EMALFORMED (also for more than 32 parameters or headers), BL_EPROTO for one
 * that no element may accept (port 0 or > 65535).
 */
BL_MUSTCHECK int bl_uri_parse(struct bl_str in, struct bl_uri *ret_uri);
/* What was parsed from octets at `from`, as if from their copy at `to`. */
void bl_uri_move(struct bl_uri *u, const char *from, const char *to);
bool bl_uri_param(const struct bl_uri *u, struct bl_str name, struct bl_str *ret_value); /* ret_value may be NULL */
bool bl_uri_is_lr(const struct bl_uri *u); /* ;lr in any spelling (lr, lr=on, lr=true) */
/* IP literal as address (port taken from the URI, 0 when none): 0, or BL_ENOENT when the host is a name. */
int bl_uri_addr(const struct bl_uri *u, struct bl_addr *ret_addr);
bool bl_host_eq(struct bl_str a, struct bl_str b); /* any case; one trailing dot ignored; IPv6 by value */

/*
 * Rank 1: scheme, user and password (an escape stands for its octet unless that is reserved; case-sensitive), host,
 * port, headers, and ALL parameters equal, as a set; names and values in any case; `lr`, `lr=on`, `lr=true` are one.
 * Where `secure_alike`, sip and sips compare alike. Exact implies equivalent, and equivalent implies the same hash;
 * both are symmetric; equivalence is not transitive (RFC 3261 section 19.1.4). Nothing is allocated.
 */
bool bl_uri_exact(const struct bl_uri *a, const struct bl_uri *b, bool secure_alike);
/* Rank 2: RFC 3261 section 19.1.4; a parameter that only one has is ignored but for user, ttl, method, maddr,
 * transport. */
bool bl_uri_equivalent(const struct bl_uri *a, const struct bl_uri *b, bool secure_alike);
/* Hash of scheme-less identity: user, host, port, user/ttl/method/maddr/transport parameters. Equivalent URIs hash
 * alike. */
uint64_t bl_uri_hash(uint64_t seed, const struct bl_uri *u);
/* Writes u without the parameters named in `drop` (n names); everything else as written. */
void bl_uri_put_without(struct bl_sb *b, const struct bl_uri *u, const struct bl_str *drop, size_t n);
/* Escapes what may not stand bare in a user part (RFC 3261 section 25.1, user), plus the characters in `also`. */
void bl_uri_escape_user(struct bl_sb *b, struct bl_str raw, const char *also);
int bl_uri_unescape(struct bl_str s, struct bl_sb *out); /* BL_EMALFORMED for a bad %-escape */
