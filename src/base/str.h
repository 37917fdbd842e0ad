/* Slices: a pointer and a length, passed by value in two registers. They own nothing. All functions: any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bl_str {
        const char *p; /* may be NULL only when n == 0 */
        size_t n;
};

#define BL_STR(lit) ((struct bl_str){(lit), sizeof(lit) - 1})
#define BL_STR_ARG(s) (int)(s).n, (s).p /* for "%.*s" */

static inline struct bl_str bl_str_make(const char *p, size_t n)
{
        return (struct bl_str){p, n};
}
static inline struct bl_str bl_str_z(const char *z)
{
        return (struct bl_str){z, z ? strlen(z) : 0};
}
static inline bool bl_str_eq(struct bl_str a, struct bl_str b)
{
        return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}
static inline struct bl_str bl_str_from(struct bl_str s, size_t off)
{
        return (struct bl_str){s.p + off, s.n - off};
}
static inline char bl_lower(char c)
{
        return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

/* memcpy for what is mostly short: the few octets of a name, a value, a number. */
static inline void bl_copy(char *to, const char *from, size_t n)
{
        if (__builtin_constant_p(n) || n > 32) {
                memcpy(to, from, n);
        } else if (n >= 16) { /* two pieces that may overlap */
                char head[16], tail[16];
                memcpy(head, from, 16);
                memcpy(tail, from + n - 16, 16);
                memcpy(to, head, 16);
                memcpy(to + n - 16, tail, 16);
        } else if (n >= 8) {
                uint64_t head, tail;
                memcpy(&head, from, 8);
                memcpy(&tail, from + n - 8, 8);
                memcpy(to, &head, 8);
                memcpy(to + n - 8, &tail, 8);
        } else if (n >= 4) {
                uint32_t head, tail;
                memcpy(&head, from, 4);
                memcpy(&tail, from + n - 4, 4);
                memcpy(to, &head, 4);
                memcpy(to + n - 4, &tail, 4);
        } else if (n) {
                char first = from[0], middle = from[n / 2], last = from[n - 1];
                to[0] = first;
                to[n / 2] = middle;
                to[n - 1] = last;
        }
}
/* Eight octets at once, each as bl_lower: bit 7 of each octet of `upper` is set where 'A' <= octet <= 'Z'; that bit,
 * moved to 0x20, lowers it. */
static inline uint64_t bl_lower8(uint64_t w)
{
        const uint64_t ones = 0x0101010101010101u;
        uint64_t low7 = w & 0x7f * ones;
        uint64_t from_a = low7 + (0x80 - 'A') * ones, past_z = low7 + (0x7f - 'Z') * ones;
        uint64_t upper = (from_a ^ past_z) & ~w & 0x80 * ones;
        return w | upper >> 2;
}

bool bl_str_ieq(struct bl_str a, struct bl_str b); /* equal but for ASCII case */
int bl_str_cmp(struct bl_str a, struct bl_str b);  /* memcmp order, shorter first */
bool bl_str_starts(struct bl_str s, struct bl_str prefix);
struct bl_str bl_str_trim(struct bl_str s); /* without SP HTAB CR LF at both ends */
/* Cuts at the first `c`: true and both parts when found; else false, *ret_before = s, *ret_after empty. */
bool bl_str_cut(struct bl_str s, char c, struct bl_str *ret_before, struct bl_str *ret_after);
ptrdiff_t bl_str_find(struct bl_str s, char c); /* index, or -1 */
/* Strict decimal, no sign, no spaces. BL_EMALFORMED, or BL_ELIMIT when over the type. */
int bl_str_u32(struct bl_str s, uint32_t *ret);
int bl_str_u64(struct bl_str s, uint64_t *ret);

/*
 * A bounded writer into the caller's memory. Appending past `cap` writes nothing more and sets `over`;
 * check it once at the end. Never terminates with NUL.
 */
struct bl_sb {
        char *p;
        size_t n, cap;
        bool over;
};
#define BL_SB(array) ((struct bl_sb){(array), 0, sizeof(array), false})
/* Room for n more octets, or NULL; from then on the writer stays as it is, so that `over` never hides a gap. */
static inline char *bl_sb_room(struct bl_sb *b, size_t n)
{
        if (b->over || n > b->cap - b->n) {
                b->over = true;
                return NULL;
        }
        return b->p + b->n;
}
static inline void bl_sb_add(struct bl_sb *b, struct bl_str s)
{
        char *to = bl_sb_room(b, s.n);
        if (!to || !s.n)
                return;
        bl_copy(to, s.p, s.n);
        b->n += s.n;
}
static inline void bl_sb_addz(struct bl_sb *b, const char *z)
{
        bl_sb_add(b, bl_str_z(z));
}
static inline void bl_sb_addc(struct bl_sb *b, char c)
{
        char *to = bl_sb_room(b, 1);
        if (!to)
                return;
        *to = c;
        b->n++;
}
void bl_sb_addu(struct bl_sb *b, uint64_t v);                     /* decimal */
void bl_sb_hex(struct bl_sb *b, const void *octets, size_t n);    /* lower case */
void bl_sb_b64url(struct bl_sb *b, const void *octets, size_t n); /* RFC 4648 section 5, no padding */
void bl_sb_b64(struct bl_sb *b, const void *octets, size_t n);    /* RFC 4648 section 4, padded */
void bl_sb_fmt(struct bl_sb *b, const char *fmt, ...)
        __attribute__((format(printf, 2, 3))); /* not for hot paths; a piece over 255 octets needs one spare octet */
static inline struct bl_str bl_sb_str(const struct bl_sb *b)
{
        return (struct bl_str){b->p, b->n};
}

/* Decoders: octets written to out (capacity cap); return the length, or BL_EMALFORMED / BL_ELIMIT. */
int bl_hex_decode(struct bl_str in, void *out, size_t cap);
int bl_b64url_decode(struct bl_str in, void *out, size_t cap);
