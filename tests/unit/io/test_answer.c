#include "unit/unit.h"

#include "io/answer.h"
#include "unit/guard.h"

/* A message: header with counts, then question for "a.ex" IN. Offsets: the name of the question is at 12. */
#define HEAD(flags_hi, flags_lo, an, ns) "\x12\x34" flags_hi flags_lo "\0\1\0" an "\0" ns "\0\0"
#define Q(type) "\1a\2ex\0\0" type "\0\1"
#define OWNER "\xc0\x0c"
#define MSG(lit) bl_str_make((lit), sizeof(lit) - 1)

static struct bl_answer a;

static void test_addresses_have_their_own_ttl(void **state)
{
        (void)state;
        struct bl_str m = MSG(HEAD("\x81", "\x80", "\2", "\0") Q("\1") OWNER "\0\1\0\1\0\0\0\x3c\0\4\x7f\0\1\2" OWNER
                                                                             "\0\1\0\1\0\0\0\x0a\0\4\x7f\0\1\3");
        assert_int_equal(bl_answer_parse(m, BL_RR_A, &a), 0);
        assert_int_equal(a.rc, 0);
        assert_int_equal(a.n, 2);
        assert_int_equal(a.rr[0].ttl, 60);
        assert_int_equal(a.rr[1].ttl, 10);
        assert_int_equal(a.rr[0].addr.family, 4);
        assert_memory_equal(a.rr[1].addr.ip, "\x7f\0\1\3", 4);
        assert_int_equal(a.rr[0].addr.port, 0);
        /* not of the type asked for */
        assert_int_equal(bl_answer_parse(m, BL_RR_AAAA, &a), 0);
        assert_int_equal(a.n, 0);
}

static void test_ipv6(void **state)
{
        (void)state;
        struct bl_str m = MSG(HEAD("\x81", "\x80", "\1", "\0") Q("\x1c") OWNER
                              "\0\x1c\0\1\0\0\0\x3c\0\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1");
        assert_int_equal(bl_answer_parse(m, BL_RR_AAAA, &a), 0);
        assert_int_equal(a.n, 1);
        assert_int_equal(a.rr[0].addr.family, 6);
        assert_int_equal(a.rr[0].addr.ip[15], 1);
}

static void test_srv_and_its_compressed_target(void **state)
{
        (void)state;
        struct bl_str m = MSG(HEAD("\x81", "\x80", "\2", "\0") Q("\x21") OWNER
                              "\0\x21\0\1\0\0\0\x3c\0\x0b\0\1\0\2\x13\xc4\2E1\xc0\x0e" OWNER
                              "\0\x21\0\1\0\0\0\x3c\0\7\0\3\0\0\0\0\0");
        assert_int_equal(bl_answer_parse(m, BL_RR_SRV, &a), 0);
        assert_int_equal(a.n, 2);
        assert_int_equal(a.rr[0].prio, 1);
        assert_int_equal(a.rr[0].weight, 2);
        assert_int_equal(a.rr[0].port, 5060);
        assert_str(a.rr[0].name, "e1.ex");
        assert_str(a.rr[1].name, "."); /* ".": the service is not offered (RFC 2782) */
}

static void test_naptr(void **state)
{
        (void)state;
        struct bl_str m = MSG(HEAD("\x81", "\x80", "\1", "\0") Q("\x23") OWNER
                              "\0\x23\0\1\0\0\0\x3c\0\x19\0\x0a\0\x14\1s\7SIP+D2U\0\4_sip\4_udp\xc0\x0c");
        assert_int_equal(bl_answer_parse(m, BL_RR_NAPTR, &a), BL_EMALFORMED); /* RDATA is longer than it says */
        m = MSG(HEAD("\x81", "\x80", "\1", "\0") Q("\x23") OWNER
                "\0\x23\0\1\0\0\0\x3c\0\x1b\0\x0a\0\x14\1s\7SIP+D2U\0\4_sip\4_udp\xc0\x0c");
        assert_int_equal(bl_answer_parse(m, BL_RR_NAPTR, &a), 0);
        assert_int_equal(a.n, 1);
        assert_int_equal(a.rr[0].prio, 10);
        assert_int_equal(a.rr[0].weight, 20);
        assert_str(a.rr[0].flags, "s");
        assert_str(a.rr[0].service, "SIP+D2U");
        assert_str(a.rr[0].name, "_sip._udp.a.ex");
}

/* The chain in any order, the least TTL on it, and nothing that belongs to another name. */
static void test_cnames_are_followed(void **state)
{
        (void)state;
        struct bl_str m = MSG(HEAD("\x81", "\x80", "\3", "\0") Q("\1") "\1b\2ex\0\0\1\0\1\0\0\0\x3c\0\4\x7f\0\1\2" OWNER
                                                                       "\0\5\0\1\0\0\0\5\0\6\1B\2Ex\0"
                                                                       "\1c\2ex\0\0\1\0\1\0\0\0\x3c\0\4\x7f\0\1\x63");
        assert_int_equal(bl_answer_parse(m, BL_RR_A, &a), 0);
        assert_int_equal(a.n, 1);
        assert_int_equal(a.rr[0].ttl, 5);
        assert_int_equal(a.rr[0].addr.ip[3], 2);
}

static void test_a_ring_of_cnames_ends(void **state)
{
        (void)state;
        struct bl_str m = MSG(HEAD("\x81", "\x80", "\1", "\0") Q("\1") OWNER "\0\5\0\1\0\0\0\5\0\2\xc0\x0c");
        assert_int_equal(bl_answer_parse(m, BL_RR_A, &a), BL_EMALFORMED);
}

#define SOA OWNER "\0\6\0\1\0\0\0\x1e\0\x16\0\0\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\x14" /* TTL 30, minimum 20 */

static void test_no_such_name_and_no_such_record(void **state)
{
        (void)state;
        assert_int_equal(bl_answer_parse(MSG(HEAD("\x81", "\x83", "\0", "\1") Q("\1") SOA), BL_RR_A, &a), 0);
        assert_int_equal(a.rc, BL_ENOENT);
        assert_int_equal(a.neg_ttl, 20);
        assert_int_equal(bl_answer_parse(MSG(HEAD("\x81", "\x80", "\0", "\1") Q("\1") SOA), BL_RR_A, &a), 0);
        assert_int_equal(a.rc, 0);
        assert_int_equal(a.n, 0);
        assert_int_equal(a.neg_ttl, 20);
        assert_int_equal(bl_answer_parse(MSG(HEAD("\x81", "\x80", "\0", "\0") Q("\1")), BL_RR_A, &a), 0);
        assert_int_equal(a.neg_ttl, 0); /* not said */
        assert_int_equal(bl_answer_parse(MSG(HEAD("\x81", "\x82", "\0", "\0") Q("\1")), BL_RR_A, &a), BL_EREFUSED);
}

static void test_names_that_never_end(void **state)
{
        (void)state;
        static const char *const bad[] = {"\xc0\x0c", "\xc0\x0e\xc0\x0c", "\xc0\xff", "\x40x", "\x3fx"};
        for (size_t i = 0; i < BL_ARRAY_LEN(bad); i++) {
                char text[64];
                struct bl_sb b = BL_SB(text);
                bl_sb_add(&b, MSG(HEAD("\x81", "\x80", "\0", "\0")));
                bl_sb_addz(&b, bad[i]);
                bl_sb_add(&b, MSG("\0\1\0\1"));
                assert_int_equal(bl_answer_parse(bl_sb_str(&b), BL_RR_A, &a), BL_EMALFORMED);
        }
}

static void test_absurd_ttls(void **state)
{
        (void)state;
        struct bl_str m = MSG(HEAD("\x81", "\x80", "\2", "\0") Q("\1") OWNER "\0\1\0\1\x80\0\0\x3c\0\4\x7f\0\1\2" OWNER
                                                                             "\0\1\0\1\x7f\xff\xff\xff\0\4\x7f\0\1\3");
        assert_int_equal(bl_answer_parse(m, BL_RR_A, &a), 0);
        assert_int_equal(a.rr[0].ttl, 0); /* RFC 2181 section 8 */
        assert_int_equal(a.rr[1].ttl, 7 * 86400);
}

static void parse_prefix(struct bl_str prefix, void *whole)
{
        int rc = bl_answer_parse(prefix, BL_RR_NAPTR, &a);
        if (prefix.n < *(size_t *)whole)
                assert_int_equal(rc, BL_EMALFORMED);
        else
                assert_int_equal(rc, 0);
}

static void test_every_truncation(void **state)
{
        (void)state;
        struct bl_str m = MSG(HEAD("\x81", "\x80", "\1", "\0") Q("\x23") OWNER
                              "\0\x23\0\1\0\0\0\x3c\0\x1b\0\x0a\0\x14\1s\7SIP+D2U\0\4_sip\4_udp\xc0\x0c");
        guard_each_prefix(m, parse_prefix, &m.n);
}

/* Whatever an octet becomes: an answer or an error, nothing read outside, texts inside. */
static void test_every_octet_changed(void **state)
{
        (void)state;
        struct bl_str m = MSG(HEAD("\x81", "\x80", "\1", "\0") Q("\x23") OWNER
                              "\0\x23\0\1\0\0\0\x3c\0\x1b\0\x0a\0\x14\1s\7SIP+D2U\0\4_sip\4_udp\xc0\x0c");
        struct guard *g = guard_new(m.n);
        for (size_t i = 0; i < m.n; i++) {
                for (unsigned v = 0; v < 256; v++) {
                        struct bl_str in = guard_str(g, m);
                        ((char *)in.p)[i] = (char)v;
                        int rc = bl_answer_parse(in, BL_RR_NAPTR, &a);
                        assert_true(rc == 0 || rc == BL_EMALFORMED || rc == BL_EREFUSED);
                        for (unsigned k = 0; k < a.n; k++)
                                assert_true(a.rr[k].name.n == 0 ||
                                            (a.rr[k].name.p >= a.text &&
                                             a.rr[k].name.p + a.rr[k].name.n <= a.text + BL_ANSWER_TEXT));
                }
        }
        guard_free(g);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_addresses_have_their_own_ttl),
                cmocka_unit_test(test_ipv6),
                cmocka_unit_test(test_srv_and_its_compressed_target),
                cmocka_unit_test(test_naptr),
                cmocka_unit_test(test_cnames_are_followed),
                cmocka_unit_test(test_a_ring_of_cnames_ends),
                cmocka_unit_test(test_no_such_name_and_no_such_record),
                cmocka_unit_test(test_names_that_never_end),
                cmocka_unit_test(test_absurd_ttls),
                cmocka_unit_test(test_every_truncation),
                cmocka_unit_test(test_every_octet_changed),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
