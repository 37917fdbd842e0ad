/* A table, and short words for what the tests of sticky/ do with it. */
#pragma once
#include "unit/unit.h"

#include "sticky/sticky.h"

static const bl_us NOW = BL_SEC(1000);

static inline struct bl_uri uri(const char *text)
{
        struct bl_uri u;

        assert_int_equal(bl_uri_parse(bl_str_z(text), &u), 0);
        return u;
}

static inline struct bl_addr addr(uint8_t last, uint16_t port)
{
        return (struct bl_addr){.family = 4, .port = port, .ip = {127, 0, 1, last}};
}

static inline void add(struct bl_sticky *t, bl_flow_id flow, uint8_t last, bool ours)
{
        struct bl_addr a = addr(last, ours ? 5060 : (uint16_t)(40000 + (flow & 0xfff)));

        assert_int_equal(bl_sticky_flow_add(t, flow, BL_TCP, &a, ours), 0);
}

static inline struct bl_bind want(const char *text, bl_flow_id flow, enum bl_bind_kind kind)
{
        return (struct bl_bind){.uri = uri(text), .flow = flow, .kind = kind};
}

static inline void bind(struct bl_sticky *t, const char *text, bl_flow_id flow, enum bl_bind_kind kind, bl_us now,
                        bool confirmed)
{
        struct bl_bind b = want(text, flow, kind);

        b.confirmed = confirmed;
        assert_int_equal(bl_sticky_bind(t, &b, now), 0);
}

struct found {
        struct bl_sticky_found f[BL_STICKY_MAX];
        unsigned n;
};

static inline struct found find_as(struct bl_sticky *t, const char *text, bl_us now, unsigned max_rank, uint64_t spread,
                                   unsigned worker)
{
        struct bl_sticky_query q = {
                .uri = uri(text), .max_rank = (uint8_t)max_rank, .spread = spread, .worker = worker};
        struct found r;

        r.n = bl_sticky_find(t, &q, now, r.f);
        return r;
}

/* "flow/rank flow/rank …" */
static inline void check(struct bl_sticky *t, const char *text, bl_us now, unsigned max_rank, const char *answer)
{
        struct found r = find_as(t, text, now, max_rank, 1, 0);
        char out[256];
        struct bl_sb b = BL_SB(out);

        for (unsigned i = 0; i < r.n; i++)
                bl_sb_fmt(&b, "%s%llx/%u", i ? " " : "", (unsigned long long)r.f[i].flow, r.f[i].rank);
        if (!bl_str_eq(bl_sb_str(&b), bl_str_z(answer)))
                fail_msg("%s: \"%.*s\", want \"%s\"", text, (int)b.n, b.p, answer);
}

static inline int setup(void **state)
{
        *state = bl_sticky_new(&(struct bl_sticky_conf){.hash_seed = 42});
        return *state ? 0 : -1;
}

static inline int teardown(void **state)
{
        bl_sticky_free(*state);
        return 0;
}

static inline struct bl_sticky_stats stats(struct bl_sticky *t)
{
        struct bl_sticky_stats st;

        bl_sticky_get_stats(t, &st);
        return st;
}
