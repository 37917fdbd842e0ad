/*
 * The usual forms against their namesakes, which look at each octet: what the former take, the latter take too, and say
 * the same of it. What a proxy reads in nearly every message is among what they take.
 */
#include "unit/unit.h"

#include "sip/usual.h"
#include "unit/rng.h"

enum { ROUNDS = 200000, SIZE = 512 };

struct value { /* a header's value, marked as the parser does it */
        char text[SIZE];
        size_t n;
        struct bl_runs_word w[SIZE / 64];
        struct bl_runs runs;
};

static void put(struct value *v, const char *text)
{
        size_t n = strlen(text);

        assert_true(v->n + n + 2 < SIZE);
        memcpy(v->text + v->n, text, n);
        v->n += n;
}

static void end_value(struct value *v)
{
        memcpy(v->text + v->n, "\r\n", 2);
        bl_runs_mark(v->text, v->n + 2, v->w);
        v->runs = (struct bl_runs){v->text, v->w};
}

static void same(struct bl_str a, struct bl_str b)
{
        assert_int_equal(a.n, b.n);
        if (a.n)
                assert_ptr_equal(a.p, b.p);
}

static void same_uri(const struct bl_uri *a, const struct bl_uri *b)
{
        same(a->all, b->all);
        same(a->scheme_text, b->scheme_text);
        same(a->user, b->user);
        same(a->password, b->password);
        same(a->host, b->host);
        same(a->params, b->params);
        same(a->headers, b->headers);
        same(a->opaque, b->opaque);
        assert_ptr_equal(a->headers.p, b->headers.p); /* where an editor would put some */
        assert_int_equal(a->scheme, b->scheme);
        assert_int_equal(a->has_user, b->has_user);
        assert_int_equal(a->host_kind, b->host_kind);
        assert_int_equal(a->port, b->port);
}

static bool check_nameaddr(const struct value *v)
{
        const char *end = v->text + v->n, *p, *q;
        struct bl_nameaddr a, b;
        struct bl_str tag_a = {"", 0}, tag_b = {"", 0};

        p = bl_usual_nameaddr(v->runs, v->text, end, &a, &tag_a);
        if (!p)
                return false;
        q = bl_nameaddr_scan(v->text, end, &b, &tag_b);
        assert_ptr_equal(p, q);
        same(a.all, b.all);
        same(a.display, b.display);
        same(a.params, b.params);
        same(tag_a, tag_b);
        same_uri(&a.uri, &b.uri);
        assert_int_equal(a.angle, b.angle);
        assert_int_equal(a.star, b.star);
        return true;
}

static bool check_uri(const struct value *v)
{
        const char *end = v->text + v->n, *p;
        struct bl_uri a, b;
        int rc;

        p = bl_usual_uri(v->runs, v->text, end, &a);
        if (p != end) /* only of use when it is the whole */
                return false;
        assert_ptr_equal(bl_uri_scan(v->text, end, &b, &rc), end);
        same_uri(&a, &b);
        return true;
}

static bool check_via(const struct value *v)
{
        const char *end = v->text + v->n, *p, *q;
        struct bl_via a, b;

        p = bl_usual_via(v->runs, v->text, end, &a);
        if (!p)
                return false;
        q = bl_via_scan(v->text, end, &b);
        assert_ptr_equal(p, q);
        same(a.all, b.all);
        same(a.transport, b.transport);
        same(a.sent_by, b.sent_by);
        same(a.host, b.host);
        same(a.params, b.params);
        same(a.branch, b.branch);
        same(a.received, b.received);
        same(a.maddr, b.maddr);
        same(a.rport_param, b.rport_param);
        same(a.received_param, b.received_param);
        assert_int_equal(a.repeated, b.repeated);
        assert_int_equal(a.port, b.port);
        assert_int_equal(a.rport, b.rport);
        assert_int_equal(a.has_rport, b.has_rport);
        assert_int_equal(a.sticky, b.sticky);
        assert_int_equal(a.rfc3261, b.rfc3261);
        return true;
}

static bool taken(bool (*check)(const struct value *), const char *text)
{
        struct value v = {.n = 0};

        put(&v, text);
        end_value(&v);
        return check(&v);
}

static void usual_ones(void **state)
{
        (void)state;
        assert_true(taken(check_uri, "sip:bob@biloxi.example.com"));
        assert_true(taken(check_uri, "sip:+4930123456@192.0.2.1:5070;transport=tcp;lr"));
        assert_true(taken(check_uri, "sip:joe+k3v9+e1+e3+aKb@edge.example.com;lr;d=81bd"));
        assert_true(taken(check_uri, "sip:example.com"));
        assert_true(taken(check_nameaddr, "<sip:joe@example.com;lr>, <sip:example.com>"));
        assert_true(taken(check_nameaddr, "Alice B. <sip:alice@example.com>;tag=9fx"));
        assert_true(taken(check_nameaddr, "\"Alice, B.\" <sip:alice@example.com>;tag=9fx"));
        assert_true(taken(check_nameaddr, "<sip:u@10.0.0.1:5060>;+sip.instance=\"<urn:uuid:0>\";reg-id=1"));
        assert_true(taken(check_via, "SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKa;rport"));
        assert_true(taken(check_via, "SIP/2.0/TCP a.example.com;rport=5;received=10.0.0.2;branch=z9hG4bKb;sticky"));
        assert_true(taken(check_via, "SIP/2.0/TLS a.example.com;maddr=239.0.0.1,SIP/2.0/UDP b"));
}

/* Wrong, or right and rare: the namesake's. */
static void others(void **state)
{
        static const char *const uris[] = {
                "sips:a@b", "SIP:a@b",     "sip:a:pw@b",   "sip:@b",      "sip:a@b..c",       "sip:a@-b",
                "sip:a@.b", "sip:a@1.2.3", "sip:a@1.2.3.", "sip:a@b:0",   "sip:a@1.2.3.256",  "sip:a@1.2.3.4.5",
                "sip:a@",   "sip:a@b:",    "sip:a@b;",     "sip:a@b;x=",  "sip:a@b:123456",   "sip:a@b?x=y",
                "sip:",     "sip:a%40@b",  "sip:a;b@c",    "sip:a@[::1]", "sip:a@1.2.3.4a",   "sip:a@1..2.3",
                "tel:+49",  "sip:a@b:x",   "sip:a@b;x%41", "sip:a@b;x@y", "sip:a@1.2.3.1234", "sip:a/b@c",
        };

        (void)state;
        for (size_t i = 0; i < BL_ARRAY_LEN(uris); i++)
                assert_false(taken(check_uri, uris[i]));
        assert_false(taken(check_nameaddr, "sip:a@b"));
        assert_false(taken(check_nameaddr, "*"));
        assert_false(taken(check_nameaddr, "<sip:a@b"));
        assert_false(taken(check_nameaddr, "<sip:a@b>;tag"
                                           "=\"x"));
        assert_false(taken(check_nameaddr, "\"a\\\"\" <sip:a@b>"));
        assert_false(taken(check_nameaddr, "<sip:a@b> x"));
        assert_false(taken(check_via, "SIP/2.0/UDP b;rport=0"));
        assert_false(taken(check_via, "SIP/2.0/UDP b;rport=65536"));
        assert_false(taken(check_via, "SIP/2.0/UDP b;rport=x"));
        assert_false(taken(check_via, "SIP / 2.0 / UDP b"));
        assert_false(taken(check_via, "SIP/2.0/UDP b :5060"));
}

/* Each form in pieces, by '|': one of them each; now and then a piece of another one or none, and an octet changed. */
static const char *const shapes[3][11] = {
        {"sip:|sip:|sips:|tel:", "|user@|u+1@|a=b@|a;b@|u:pw@",
         "example.com|b|10.0.0.1|1.2.3|256.1.1.1|[::1]|a..b|-x|a.",
         "||:5060|:0|:65536|:", "||;lr|;transport=tcp|;x=|;%41=b", "||;lr=on|;d=1|?a=b", NULL},
        {"||Bob |Bob|Bob B. |\"B\" |\"B<\\\"|\"B\"", "<sip:|<sip:|sip:|<", "|user@|u+1@|a%41@",
         "example.com|10.0.0.1|[::1]", "||:5060|:0", "||;lr|;x=y", ">|>|>|", "||;tag=1|;tag|;Tag=2| ;tag=3",
         "||;+sip.instance=\"<u>\"|;q=0.5|;expires=", "|||, <sip:b>|,", NULL},
        {"SIP/2.0/UDP |SIP/2.0/TLS |SIP/2.0/UDP  |SIP / 2.0 / UDP |SIP/3.0/TCP ",
         "example.com|10.0.0.1|[::1]|1.2.3.4.5|a..b", "||:5060|:0|: 5",
         "||;branch=z9hG4bK1|;branch=z9hG4bK|;Branch=z9hG4bKx", "||;rport|;rport=9|;rport=0|;rport=x",
         "||;received=1.1.1.1|;received=::1|;received=\"x\"", "||;sticky|;maddr=m|;sticky=1|;rport=7",
         "|||, SIP/2.0/UDP b| ", NULL},
};

static void put_piece(struct value *v, struct rng *r, const char *of)
{
        unsigned n = 1;

        for (const char *p = of; *p; p++)
                n += *p == '|';
        n = (unsigned)rng_below(r, n);
        for (; n; of++)
                n -= *of == '|';
        for (; *of && *of != '|'; of++)
                v->text[v->n++] = *of;
}

static void at_random(void **state)
{
        bool (*const checks[])(const struct value *) = {check_uri, check_nameaddr, check_via};
        unsigned long n[3] = {0};
        struct rng r = {11};

        (void)state;
        for (unsigned i = 0; i < ROUNDS; i++) {
                struct value v = {.n = 0};
                unsigned shape = (unsigned)rng_below(&r, 3);

                for (unsigned k = 0; shapes[shape][k]; k++)
                        if (rng_below(&r, 20))
                                put_piece(&v, &r, shapes[shape][k]);
                        else
                                put_piece(&v, &r, shapes[rng_below(&r, 3)][rng_below(&r, 6)]);
                if (v.n && rng_below(&r, 8) == 0)
                        v.text[rng_below(&r, v.n)] = (char)rng_below(&r, 256);
                if (v.n == 0 || v.text[0] == ' ' || v.text[v.n - 1] == ' ')
                        continue; /* values are trimmed */
                end_value(&v);
                for (unsigned c = 0; c < 3; c++)
                        n[c] += checks[c](&v);
        }
        for (unsigned c = 0; c < 3; c++)
                assert_true(n[c] > ROUNDS / 100); /* or nothing was held against anything */
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(usual_ones),
                cmocka_unit_test(others),
                cmocka_unit_test(at_random),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
