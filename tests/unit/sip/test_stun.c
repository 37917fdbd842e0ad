#include "unit/unit.h"

#include "sip/stun.h"
#include "unit/guard.h"

static const uint8_t id[12] = {0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae};
static const struct bl_addr v4 = {.family = 4, .ip = {192, 0, 2, 1}, .port = 32853};
static const struct bl_addr v6 = {
        .family = 6,
        .ip = {0x20, 0x01, 0x0d, 0xb8, 0x12, 0x34, 0x56, 0x78, 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77},
        .port = 32853,
};

static struct bl_str slice(const uint8_t *p, int n)
{
        return bl_str_make((const char *)p, (size_t)n);
}

static void round_trip(void **state)
{
        const struct bl_addr *const sources[] = {&v4, &v6};

        (void)state;
        for (unsigned i = 0; i < 2; i++) {
                uint8_t request[BL_STUN_MAX], answer[BL_STUN_MAX];
                struct bl_addr mapped;
                int n = bl_stun_request(id, request), m;

                assert_int_equal(n, 20);
                assert_true(bl_stun_is(slice(request, n)));
                m = bl_stun_answer(slice(request, n), sources[i], answer);
                assert_int_equal(m, i ? 44 : 32);
                assert_true(bl_stun_is(slice(answer, m)));
                assert_int_equal(bl_stun_parse_response(slice(answer, m), id, &mapped), 0);
                assert_true(bl_addr_eq(&mapped, sources[i]));
                assert_int_equal(bl_stun_answer(slice(answer, m), &v4, request), BL_EMALFORMED); /* no request */
        }
}

/* The attribute octets of RFC 5769 2.2 and 2.3 (same address and transaction id). */
static void vectors(void **state)
{
        static const uint8_t want4[] = {0x00, 0x20, 0x00, 0x08, 0x00, 0x01, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43};
        static const uint8_t want6[] = {0x00, 0x20, 0x00, 0x14, 0x00, 0x02, 0xa1, 0x47, 0x01, 0x13, 0xa9, 0xfa,
                                        0xa5, 0xd3, 0xf1, 0x79, 0xbc, 0x25, 0xf4, 0xb5, 0xbe, 0xd2, 0xb9, 0xd9};
        uint8_t request[BL_STUN_MAX], answer[BL_STUN_MAX];
        int n = bl_stun_request(id, request);

        (void)state;
        assert_int_equal(bl_stun_answer(slice(request, n), &v4, answer), 32);
        assert_memory_equal(answer, "\x01\x01\x00\x0c\x21\x12\xa4\x42", 8);
        assert_memory_equal(answer + 20, want4, sizeof want4);
        assert_int_equal(bl_stun_answer(slice(request, n), &v6, answer), 44);
        assert_memory_equal(answer + 20, want6, sizeof want6);
}

static void recognises(void **state)
{
        uint8_t request[BL_STUN_MAX];
        int n = bl_stun_request(id, request);

        (void)state;
        assert_false(bl_stun_is(BL_STR("")));
        assert_false(bl_stun_is(BL_STR("INVITE sip:a@b SIP/2.0\r\n")));
        assert_false(bl_stun_is(slice(request, n - 1)));
        request[3] = 4; /* longer than it is */
        assert_false(bl_stun_is(slice(request, n)));
        request[3] = 0;
        request[0] = 0x80;
        assert_false(bl_stun_is(slice(request, n)));
        request[0] = 0;
        request[4] ^= 1;
        assert_false(bl_stun_is(slice(request, n)));
}

static int with_attrs(uint8_t *out, const uint8_t *attrs, size_t n)
{
        bl_stun_request(id, out);
        out[3] = (uint8_t)n;
        memcpy(out + 20, attrs, n);
        return (int)(20 + n);
}

/* RFC 5389 7.3.1: what must be understood and is not, is named in a 420. */
static void unknown_attributes(void **state)
{
        static const uint8_t optional[] = {0x80, 0x22, 0, 3, 'a', 'b', 'c', 0}, user[] = {0, 6, 0, 1, 'u', 0, 0, 0};
        static const uint8_t odd[] = {0x7f, 0x01, 0, 0, 0x7f, 0x02, 0, 0, 0x7f, 0x03, 0, 0};
        static const uint8_t want[] = {0x01, 0x11, 0, 20, 0x21, 0x12, 0xa4, 0x42};
        static const uint8_t body[] = {0, 9, 0, 4, 0, 0, 4, 20, 0, 10, 0, 6, 0x7f, 1, 0x7f, 2, 0x7f, 3, 0, 0};
        uint8_t request[BL_STUN_MAX], answer[BL_STUN_MAX];
        struct bl_addr mapped;
        int n = with_attrs(request, odd, sizeof odd);

        (void)state;
        n = bl_stun_answer(slice(request, n), &v4, answer);
        assert_int_equal(n, 40);
        assert_memory_equal(answer, want, sizeof want);
        assert_memory_equal(answer + 20, body, sizeof body);
        assert_int_equal(bl_stun_parse_response(slice(answer, n), id, &mapped), BL_EREFUSED);
        n = with_attrs(request, optional, sizeof optional);
        assert_int_equal(bl_stun_answer(slice(request, n), &v4, answer), 32);
        n = with_attrs(request, user, sizeof user);
        assert_int_equal(bl_stun_answer(slice(request, n), &v4, answer), 32);
}

static void many_unknown(void **state)
{
        uint8_t request[20 + 200], answer[BL_STUN_MAX];

        (void)state;
        memset(request, 0, sizeof request);
        bl_stun_request(id, request);
        request[3] = 200;
        for (unsigned i = 0; i < 50; i++) {
                request[20 + 4 * i] = 0x7f;
                request[21 + 4 * i] = (uint8_t)i;
        }
        assert_in_range(bl_stun_answer(slice(request, sizeof request), &v4, answer), 20, BL_STUN_MAX);
}

static void bad_attributes(void **state)
{
        static const uint8_t past_end[] = {0x80, 0x22, 0, 9, 0, 0, 0, 0}, huge[] = {0x80, 0x22, 0xff, 0xff};
        uint8_t request[BL_STUN_MAX], answer[BL_STUN_MAX];
        struct bl_addr mapped;
        int n = with_attrs(request, past_end, sizeof past_end);

        (void)state;
        assert_int_equal(bl_stun_answer(slice(request, n), &v4, answer), BL_EMALFORMED);
        n = with_attrs(request, huge, sizeof huge);
        assert_int_equal(bl_stun_answer(slice(request, n), &v4, answer), BL_EMALFORMED);
        request[0] = 1;
        request[1] = 1;
        assert_int_equal(bl_stun_parse_response(slice(request, n), id, &mapped), BL_EMALFORMED);
        assert_int_equal(bl_stun_answer(slice(request, bl_stun_request(id, request)), &(struct bl_addr){0}, answer),
                         BL_EMALFORMED);
}

static void responses(void **state)
{
        static const uint8_t plain[] = {0, 1, 0, 8, 0, 1, 0x10, 0x92, 198, 51, 100, 7};
        static const uint8_t wrong_len[] = {0, 0x20, 0, 8, 0, 2, 0x10, 0x92, 198, 51, 100, 7};
        static const uint8_t other[12] = {1};
        uint8_t response[BL_STUN_MAX];
        struct bl_addr mapped = {0};
        int n = with_attrs(response, plain, sizeof plain);

        (void)state;
        assert_int_equal(bl_stun_parse_response(slice(response, n), id, &mapped), BL_ENOENT); /* a request */
        response[0] = response[1] = 1;
        assert_int_equal(bl_stun_parse_response(slice(response, n), other, &mapped), BL_ENOENT);
        assert_int_equal(bl_stun_parse_response(slice(response, n), id, &mapped), 0);
        assert_int_equal(mapped.port, 0x1092);
        assert_int_equal(mapped.ip[3], 7);
        n = with_attrs(response, wrong_len, sizeof wrong_len);
        response[0] = response[1] = 1;
        assert_int_equal(bl_stun_parse_response(slice(response, n), id, &mapped), BL_EMALFORMED);
        n = bl_stun_request(id, response);
        response[0] = response[1] = 1;
        assert_int_equal(bl_stun_parse_response(slice(response, n), id, &mapped), BL_EMALFORMED); /* no address */
        assert_int_equal(bl_stun_parse_response(BL_STR("x"), id, &mapped), BL_EMALFORMED);
}

/* An attribute of our own, which others pass over: whether the server still knows the flow. */
static void a_name_for_the_flow(void **state)
{
        static const uint8_t flow[8] = {1, 2, 3, 4, 5, 6, 7, 8};
        static const uint8_t short_one[] = {0xc0, 0xb1, 0, 4, 1, 2, 3, 4};
        uint8_t request[BL_STUN_MAX], answer[BL_STUN_MAX];
        struct bl_addr mapped;
        struct bl_str v;
        int n = bl_stun_request(id, request), m;

        (void)state;
        assert_false(bl_stun_get_flow(slice(request, n), &v));
        n = bl_stun_put_flow(request, n, NULL);
        assert_int_equal(n, 24);
        assert_true(bl_stun_get_flow(slice(request, n), &v));
        assert_int_equal(v.n, 0);
        m = bl_stun_answer(slice(request, n), &v6, answer); /* whoever does not know it answers as ever */
        assert_int_equal(m, 44);
        assert_false(bl_stun_get_flow(slice(answer, m), &v));
        m = bl_stun_put_flow(answer, m, flow);
        assert_int_equal(m, 56);
        assert_int_equal(bl_stun_parse_response(slice(answer, m), id, &mapped), 0);
        assert_true(bl_addr_eq(&mapped, &v6));
        assert_true(bl_stun_get_flow(slice(answer, m), &v));
        assert_int_equal(v.n, 8);
        assert_memory_equal(v.p, flow, 8);
        m = with_attrs(answer, short_one, sizeof short_one);
        assert_false(bl_stun_get_flow(slice(answer, m), &v));
        assert_false(bl_stun_get_flow(BL_STR("x"), &v));
}

static void look(struct bl_str prefix, void *arg)
{
        uint8_t out[BL_STUN_MAX];
        struct bl_addr mapped;
        struct bl_str value;

        (void)arg;
        (void)bl_stun_answer(prefix, &v4, out);
        (void)bl_stun_parse_response(prefix, id, &mapped);
        (void)bl_stun_get_flow(prefix, &value);
}

static void truncated(void **state)
{
        static const uint8_t attrs[] = {0x80, 0x22, 0, 3, 'a', 'b', 'c', 0, 0, 0x20, 0, 8, 0, 1, 1, 1, 1, 1, 1, 1};
        uint8_t message[BL_STUN_MAX];
        int n = with_attrs(message, attrs, sizeof attrs);

        (void)state;
        guard_each_prefix(slice(message, n), look, NULL);
        for (unsigned len = 0; len < sizeof attrs; len += 4) { /* length and octets agree, attributes do not */
                message[3] = (uint8_t)len;
                guard_each_prefix(slice(message, (int)(20 + len)), look, NULL);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(round_trip),   cmocka_unit_test(vectors),        cmocka_unit_test(recognises),
                cmocka_unit_test(many_unknown), cmocka_unit_test(bad_attributes), cmocka_unit_test(unknown_attributes),
                cmocka_unit_test(responses),    cmocka_unit_test(truncated),      cmocka_unit_test(a_name_for_the_flow),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
