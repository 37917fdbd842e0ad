/*
 * The canonical text of a SIP URI, made so that two texts are equal exactly when the URIs are (rank 1), and so that
 * rank 2 is a merge of two sorted lists. Private to sticky/.
 *
 *      joe%40x+i+e1@edge.example.com:5070;transport=tcp │ ;d=91;lr
 *      identity: userinfo, host, port, and the five       the other parameters, sorted by name,
 *      parameters that are never ignored                  values in lower case, lr without value
 *
 * The scheme is not part of it: struct tag below.
 */
#pragma once
#include "base/hash.h"
#include "sip/uri.h"

enum {
        CANON_MAX = 768,  /* octets of text; longer URIs are neither bound nor found by ranks 1 and 2 */
        CANON_PARAMS = 16 /* other parameters at most: a set of them is a bit mask */
};

struct canon_param { /* into `text` */
        uint16_t off, n, name_n;
};
struct canon {
        char text[CANON_MAX];
        uint16_t id_n, par_n; /* identity, then parameters */
        uint8_t n;
        bool has_user, sips;
        uint16_t host_off, host_n; /* lower case, without final dot */
        uint64_t id_hash;
        uint16_t id_check; /* of the other half of a hash of 128 bits */
        struct canon_param par[CANON_PARAMS];
};
/* 0; BL_EINVAL: not sip or sips, no host, or a parameter given twice; BL_ELIMIT: too long or too many parameters. */
int canon_make(struct canon *c, const struct bl_uri *u, uint64_t seed);
/* Only the host, in lower case, IPv6 in its one spelling: octets written, or BL_ELIMIT. */
int canon_host(struct bl_str host, char *out, size_t cap);

enum canon_plain { /* parameters that are told apart by this alone */
                   CANON_OTHER,
                   CANON_NONE, /* none; this and the next agree with all others (rank 2) */
                   CANON_LR,   /* ;lr */
                   CANON_OB    /* ;ob, without a value */
};
static inline enum canon_plain canon_plain(struct bl_str params)
{
        if (params.n == 0)
                return CANON_NONE;
        if (params.n != 3)
                return CANON_OTHER;
        return memcmp(params.p, ";lr", 3) == 0 ? CANON_LR : memcmp(params.p, ";ob", 3) == 0 ? CANON_OB : CANON_OTHER;
}

static inline struct bl_str canon_id(const struct canon *c)
{
        return bl_str_make(c->text, c->id_n);
}
static inline struct bl_str canon_params(const struct canon *c)
{
        return bl_str_make(c->text + c->id_n, c->par_n);
}

/* Walks canonical parameters: false at the end. */
bool canon_next(struct bl_str *params, struct bl_str *ret_name, struct bl_str *ret_all);
/* Rank 2 between URIs of one identity: every name that both have has one value. */
bool canon_agree(struct bl_str params, struct bl_str other);
bool canon_same_names(struct bl_str params, struct bl_str other);
/*
 * The parameters of `like`, by name, in `params`: the mask says which of `like`'s have their namesake, and `out` (at
 * least params.n octets) gets those of `params`. Returns the octets written.
 */
size_t canon_common(struct bl_str like, struct bl_str params, uint32_t *ret_mask, char *out);
