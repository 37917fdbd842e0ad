/* Registration with discovery: protocol.md section 2, as a registrar and edges written by hand see it. */
#include "unit/ua/rig.h"

static struct got *nth(struct end *e, const char *start, unsigned n)
{
        for (unsigned i = 0; i < e->n; i++)
                if (strncmp(e->got[i].text, start, strlen(start)) == 0 && n-- == 0)
                        return &e->got[i];
        fail_msg("%s has no such %s", sim_name(e->node), start);
        return NULL;
}
static bool says(const struct got *g, const char *text)
{
        return strstr(g->text, text) != NULL;
}
static struct bl_str contact_uri(const struct got *g)
{
        struct bl_nameaddr na;
        assert_int_equal(bl_msg_nameaddr(g->m, BL_H_CONTACT, 0, &na), 0);
        return na.uri.all;
}

/* Steps 1 to 7. */
static void from_nothing_to_two_flows(void **state)
{
        (void)state;
        struct rig *r = rig_new(BL_UDP);
        r->digest = true;
        rig_start(r);
        assert_string_equal(told(r, BL_UA_REDIRECTED)->text, "sip:edge.example.com;lr");
        struct seen *s = told(r, BL_UA_REGISTERED);
        assert_int_equal(s->ev.reg_id, 1);
        assert_string_equal(s->edge, P_URI);
        assert_int_equal(told(r, BL_UA_REGISTERED)->ev.reg_id, 2);
        struct got *first = nth(&r->end[HOME], "REGISTER sip:example.com SIP/2.0", 0);
        assert_false(bl_msg_has(first->m, BL_H_ROUTE));
        assert_true(bl_msg_lists_token(first->m, BL_H_SUPPORTED, BL_STR("sticky")));
        assert_true(bl_msg_lists_token(first->m, BL_H_SUPPORTED, BL_STR("path")));
        assert_true(bl_msg_lists_token(first->m, BL_H_SUPPORTED, BL_STR("alt-proxies")));
        assert_true(bl_via_param(&first->m->via, BL_STR("sticky"), NULL));
        assert_true(bl_via_param(&first->m->via, BL_STR("rport"), NULL));
        struct end *e = count(&r->end[E1], "REGISTER") &&
                                        says(nth(&r->end[E1], "REGISTER", 0), "Route: <sip:edge.example.com;lr>")
                                ? &r->end[E1]
                                : &r->end[E2];
        struct end *other = e == &r->end[E1] ? &r->end[E2] : &r->end[E1];
        struct got *second = nth(e, "REGISTER sip:example.com SIP/2.0", 0);
        assert_true(bl_str_eq(second->m->call_id, first->m->call_id));
        assert_int_equal(second->m->cseq.number, first->m->cseq.number + 1);
        struct got *third = nth(e, "REGISTER", 1); /* the answer to the challenge, on the same flow */
        assert_true(third->flow == second->flow && says(third, "Authorization: Digest"));
        struct got *backup = nth(other, "REGISTER", 0);
        char route[200];
        snprintf(route, sizeof route, "Route: <" P_URI ";maddr=%s>", other->ip);
        assert_true(says(backup, route));
        assert_true(says(backup, ";reg-id=2") && says(third, ";reg-id=1"));
        assert_true(says(backup, "+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000000000001>\""));
        assert_true(bl_str_eq(contact_uri(first), contact_uri(backup))); /* one Contact, one sent-by */
        assert_true(bl_str_eq(first->m->via.host, backup->m->via.host));
        rig_run(r, 1);
        for (unsigned i = 0; i < r->end[HOME].n_flows; i++) /* nothing is left at the home */
                assert_true(r->end[HOME].flow[i]->remote.family != 0 &&
                            sim_flow_to(r->node, r->end[HOME].node, 0) == 0);
        rig_free(r);
}

/* S9's spelling, and the draft's form, which names the others only. */
static void other_spellings_of_the_list(void **state)
{
        (void)state;
        static const char *const names[] = {"Outbound-Proxies", "outbound-proxy"};
        for (unsigned i = 0; i < BL_ARRAY_LEN(names); i++) {
                struct rig *r = rig_new(BL_UDP);
                r->list_name = names[i];
                rig_start(r);
                UNTIL(r, bl_ua_flows(r->ua) == 2, 10);
                rig_free(r);
        }
}

static bool alternative(struct end *e, struct got *g)
{
        struct rig *r = e->r;
        if (e->index == HOME || has_route_p(g->m))
                return false;
        char lines[900];
        struct bl_str all = bl_msg_value(g->m, BL_H_CONTACT);
        snprintf(lines, sizeof lines,
                 "Contact: %.*s\r\nService-Route: <" P_URI ">, <sip:example.com;lr>\r\nRequire: outbound\r\n"
                 "Alternative-Proxies: <" P_URI ";maddr=%s>\r\n",
                 BL_STR_ARG(all), r->end[e->index == E1 ? E2 : E1].ip);
        reply_full(g, 200, "reg", lines, NULL, true);
        return true;
}
static void the_drafts_form(void **state)
{
        (void)state;
        struct rig *r = rig_new(BL_UDP);
        for (unsigned i = 0; i < ENDS; i++)
                r->end[i].script = alternative;
        rig_start(r);
        UNTIL(r, bl_ua_flows(r->ua) == 2, 10);
        assert_string_equal(told(r, BL_UA_REGISTERED)->edge, P_URI);
        rig_free(r);
}

static bool around(struct end *e, struct got *g)
{
        (void)e;
        reply_full(g, 305, "reg", "Contact: <sip:edge.example.com;lr;x=1>\r\n", NULL, true);
        return true;
}
/* Step 3: five redirects and no more; then patience. */
static void redirects_end(void **state)
{
        (void)state;
        struct rig *r = rig_new(BL_UDP);
        for (unsigned i = 0; i < ENDS; i++)
                r->end[i].script = around;
        rig_start(r);
        struct seen *s = told(r, BL_UA_REGISTER_FAILED);
        assert_int_equal(told_count(r, BL_UA_REDIRECTED), 5);
        assert_string_equal(s->reason, "too many redirects");
        assert_in_range(s->ev.retry_ms, 30000, 60000);
        rig_free(r);
}

static void wrong_password(void **state)
{
        (void)state;
        struct rig *r = rig_new(BL_UDP);
        for (unsigned i = 0; i < ENDS; i++) {
                r->end[i].status = 401;
                r->end[i].lines = "WWW-Authenticate: Digest realm=\"example.com\", nonce=\"a\", qop=\"auth\"\r\n";
        }
        rig_start(r);
        struct seen *s = told(r, BL_UA_REGISTER_FAILED);
        assert_int_equal(s->ev.status, 401);
        assert_int_equal(s->ev.retry_ms, 0);
        assert_string_equal(s->reason, "user name or password is wrong");
        unsigned n = count(&r->end[HOME], "REGISTER");
        rig_run(r, 4000);
        assert_int_equal(count(&r->end[HOME], "REGISTER"), n); /* never again by itself */
        for (unsigned i = 0; i < ENDS; i++)
                r->end[i].status = 0;
        rig_start(r); /* but when it is told to */
        UNTIL(r, bl_ua_flows(r->ua) == 2, 10);
        rig_free(r);
}

static void refused_for_good(void **state)
{
        (void)state;
        struct rig *r = rig_new(BL_UDP);
        r->end[HOME].status = 403;
        rig_start(r);
        struct seen *s = told(r, BL_UA_REGISTER_FAILED);
        assert_int_equal(s->ev.status, 403);
        assert_int_equal(s->ev.retry_ms, 0);
        rig_free(r);
}

/* RFC 3261 section 10.2.8: 423 on the same flow with what it asks for. */
static void too_brief(void **state)
{
        (void)state;
        struct rig *r = rig_new(BL_UDP);
        r->end[HOME].status = 423;
        r->end[HOME].lines = "Min-Expires: 1800\r\n";
        r->end[HOME].fails = 1;
        rig_start(r);
        UNTIL(r, bl_ua_flows(r->ua) == 2, 10);
        assert_true(says(nth(&r->end[HOME], "REGISTER", 0), ";expires=600"));
        assert_true(says(nth(&r->end[HOME], "REGISTER", 1), ";expires=1800"));
        assert_true(nth(&r->end[HOME], "REGISTER", 0)->flow == nth(&r->end[HOME], "REGISTER", 1)->flow);
        rig_free(r);
}

/* RFC 5626 section 11.6: 439, then without outbound, and one flow only. */
static void first_hop_lacks_outbound(void **state)
{
        (void)state;
        struct rig *r = rig_new(BL_UDP);
        r->end[HOME].status = 439;
        r->end[HOME].fails = 1;
        rig_start(r);
        UNTIL(r, bl_ua_flows(r->ua) == 1, 10);
        struct got *g = nth(&r->end[HOME], "REGISTER", 1);
        assert_false(says(g, "reg-id"));
        assert_false(bl_msg_lists_token(g->m, BL_H_SUPPORTED, BL_STR("outbound")));
        rig_run(r, 30);
        assert_int_equal(bl_ua_flows(r->ua), 1);
        rig_free(r);
}

/* RFC 3261 section 21.5.4. */
static void the_registrar_names_the_time(void **state)
{
        (void)state;
        struct rig *r = rig_new(BL_UDP);
        r->end[HOME].status = 503;
        r->end[HOME].lines = "Retry-After: 77\r\n";
        r->end[HOME].fails = 1;
        rig_start(r);
        struct seen *s = told(r, BL_UA_REGISTER_FAILED);
        assert_int_equal(s->ev.retry_ms, 77000);
        assert_false(s->ev.local);
        rig_run(r, 76.5);
        assert_int_equal(count(&r->end[HOME], "REGISTER"), 1);
        UNTIL(r, bl_ua_flows(r->ua) == 2, 5);
        rig_free(r);
}

/* A 200 that does not list our Contact registers nothing. */
static bool forgets_contact(struct end *e, struct got *g)
{
        (void)e;
        reply_full(g, 200, "reg", "Contact: <sip:other@10.0.0.1>;expires=100\r\n", NULL, true);
        return true;
}
static void a_contact_that_was_not_taken(void **state)
{
        (void)state;
        struct rig *r = rig_new(BL_UDP);
        r->end[HOME].script = forgets_contact;
        rig_start(r);
        assert_in_range(told(r, BL_UA_REGISTER_FAILED)->ev.retry_ms, 30000, 60000);
        assert_int_equal(bl_ua_flows(r->ua), 0);
        rig_free(r);
}

/* Step 8: refreshes by their own flows, with P as Route, Call-ID kept, at half of what was granted. */
static void refreshes_stay_on_their_flows(void **state)
{
        (void)state;
        struct rig *r = rig_up(BL_UDP);
        rig_run(r, 1);
        unsigned n[] = {count(&r->end[E1], "REGISTER"), count(&r->end[E2], "REGISTER")};
        rig_run(r, 310);
        for (unsigned i = 0; i < 2; i++) {
                struct end *e = &r->end[E1 + i];
                assert_int_equal(count(e, "REGISTER"), n[i] + 1);
                struct got *before = nth(e, "REGISTER", n[i] - 1), *g = nth(e, "REGISTER", n[i]);
                assert_true(g->flow == before->flow);
                assert_true(bl_str_eq(g->m->call_id, before->m->call_id));
                assert_true(g->m->cseq.number > before->m->cseq.number);
                assert_true(says(g, "Route: <" P_URI));
                assert_in_range(g->when - before->when, BL_SEC(299), BL_SEC(301));
        }
        assert_int_equal(told_count(r, BL_UA_REGISTERED), 2); /* a refresh is no news */
        rig_free(r);
}

/* A refresh that is refused for now leaves the flow and what is granted on it alone. */
static void a_refused_refresh_is_tried_again(void **state)
{
        (void)state;
        struct rig *r = rig_up(BL_UDP);
        bl_flow_id flow = flow_at(&r->end[E1]);
        rig_run(r, 290);
        r->end[E1].status = 500;
        r->end[E1].fails = 2;
        struct seen *s = told(r, BL_UA_REGISTER_FAILED);
        assert_int_equal(s->ev.status, 500);
        assert_in_range(s->ev.retry_ms, 29000, 31000);
        assert_int_equal(bl_ua_flows(r->ua), 2);
        assert_in_range(told(r, BL_UA_REGISTER_FAILED)->ev.retry_ms, 59000, 61000);
        rig_run(r, 100);
        assert_true(last(&r->end[E1], "REGISTER")->flow == flow);
        assert_int_equal(bl_ua_flows(r->ua), 2);
        assert_int_equal(told_count(r, BL_UA_UNREGISTERED), 0);
        rig_free(r);
}

/* A 403 to a refresh: P or its user is worth nothing any more. Discovery begins anew, and both flows come back. */
static void a_p_that_is_refused_is_given_up(void **state)
{
        (void)state;
        struct rig *r = rig_up(BL_UDP);
        rig_run(r, 290);
        unsigned n = count(&r->end[HOME], "REGISTER");
        r->end[E1].status = r->end[E2].status = 403;
        r->end[E1].fails = r->end[E2].fails = 1;
        UNTIL(r, bl_ua_flows(r->ua) == 0, 30);
        UNTIL(r, bl_ua_flows(r->ua) == 2, 30);
        assert_int_equal(count(&r->end[HOME], "REGISTER"), n + 1);
        rig_free(r);
}

/* RFC 3608: the latest Service-Route counts, also when there is none. */
static void the_service_route_is_the_latest(void **state)
{
        (void)state;
        struct rig *r = rig_up(BL_UDP);
        assert_str(text_str(&r->ua->service_route), "<" P_URI ">, <sip:example.com;lr>");
        r->no_service_route = true;
        rig_run(r, 310);
        assert_str(text_str(&r->ua->service_route), "");
        rig_free(r);
}

/* A UA without our mechanism puts the redirect into its Request-URI (RFC 3261 section 8.1.3.4). */
static void a_plain_ua_is_discovered_too(void **state)
{
        (void)state;
        struct rig *r = rig_new(BL_UDP);
        r->conf.legacy = true;
        r->list_name = NULL;
        rig_start(r);
        UNTIL(r, bl_ua_flows(r->ua) == 1, 10);
        struct end *e = r->end[E1].n ? &r->end[E1] : &r->end[E2];
        struct got *g = nth(e, "REGISTER sip:edge.example.com;lr SIP/2.0", 0);
        assert_false(bl_msg_has(g->m, BL_H_ROUTE));
        assert_false(bl_via_param(&g->m->via, BL_STR("sticky"), NULL));
        rig_free(r);
}

static void stopped_and_started(void **state)
{
        (void)state;
        struct rig *r = rig_up(BL_UDP);
        sim_enter(r->env);
        bl_ua_stop(r->ua);
        sim_leave(r->env);
        (void)told(r, BL_UA_UNREGISTERED);
        (void)told(r, BL_UA_UNREGISTERED);
        assert_int_equal(bl_ua_flows(r->ua), 0);
        assert_true(says(last(&r->end[E1], "REGISTER"), ";expires=0"));
        assert_true(says(last(&r->end[E2], "REGISTER"), ";expires=0"));
        unsigned n = r->end[E1].n + r->end[E2].n;
        rig_run(r, 2000);
        assert_int_equal(r->end[E1].n + r->end[E2].n, n);
        rig_start(r);
        UNTIL(r, bl_ua_flows(r->ua) == 2, 10);
        sim_enter(r->env); /* at once again: the removal under way gives way */
        bl_ua_stop(r->ua);
        bl_ua_start(r->ua);
        sim_leave(r->env);
        rig_run(r, 10);
        assert_int_equal(bl_ua_flows(r->ua), 2);
        assert_true(says(last(&r->end[E1], "REGISTER"), ";expires=600"));
        rig_free(r);
}

/* Stopped while a REGISTER is under way: what it is granted is removed again. */
static void stopped_in_the_midst(void **state)
{
        (void)state;
        struct rig *r = rig_new(BL_UDP);
        for (unsigned i = E1; i < ENDS; i++)
                r->end[i].manual = true;
        rig_start(r);
        struct got *g = expect_anywhere(r, "REGISTER");
        sim_enter(r->env);
        bl_ua_stop(r->ua);
        sim_leave(r->env);
        serve_ok(g->at, g, false);
        struct got *zero;
        do
                zero = expect(g->at, "REGISTER");
        while (!says(zero, ";expires=0"));
        assert_true(zero->flow == g->flow);
        serve_ok(zero->at, zero, false);
        (void)told(r, BL_UA_UNREGISTERED);
        rig_free(r);
}

/* What one idle UA costs, with its registrations and their texts, but without flows and bindings, which are others'. */
static void an_idle_ua_is_small(void **state)
{
        (void)state;
        struct rig *r = rig_new(BL_UDP);
        r->digest = true;
        rig_start(r);
        UNTIL(r, bl_ua_flows(r->ua) == 2, 10);
        rig_run(r, 40);
        const struct bl_ua *ua = r->ua;
        size_t n = sizeof *ua + sizeof *ua->digest;
        const struct text *texts[] = {&ua->aor,           &ua->user,           &ua->domain,        &ua->display,
                                      &ua->auth_user,     &ua->password,       &ua->instance,      &ua->contact,
                                      &ua->service_route, &ua->outbound_proxy, &ua->outbound_route};
        for (unsigned i = 0; i < BL_ARRAY_LEN(texts); i++)
                n += texts[i]->n;
        for (unsigned i = 0; i < UA_FLOWS; i++)
                if (ua->reg[i])
                        n += sizeof *ua->reg[i] + ua->reg[i]->route.n + ua->reg[i]->home_edge.n + ua->reg[i]->call_id.n;
        print_message("%zu octets\n", n);
        assert_true(n <= 2048);
        /* everything but two flows, their hop records and bindings */
        assert_true(bl_pool_used(r->env->pool) - r->idle_pool <= 2048 + 2 * 1024);
        rig_free(r);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(from_nothing_to_two_flows),
                cmocka_unit_test(other_spellings_of_the_list),
                cmocka_unit_test(the_drafts_form),
                cmocka_unit_test(redirects_end),
                cmocka_unit_test(wrong_password),
                cmocka_unit_test(refused_for_good),
                cmocka_unit_test(too_brief),
                cmocka_unit_test(first_hop_lacks_outbound),
                cmocka_unit_test(the_registrar_names_the_time),
                cmocka_unit_test(a_contact_that_was_not_taken),
                cmocka_unit_test(refreshes_stay_on_their_flows),
                cmocka_unit_test(a_refused_refresh_is_tried_again),
                cmocka_unit_test(a_p_that_is_refused_is_given_up),
                cmocka_unit_test(the_service_route_is_the_latest),
                cmocka_unit_test(a_plain_ua_is_discovered_too),
                cmocka_unit_test(stopped_and_started),
                cmocka_unit_test(stopped_in_the_midst),
                cmocka_unit_test(an_idle_ua_is_small),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
