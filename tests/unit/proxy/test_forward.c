/* What a forwarded request looks like (RFC 3261 section 16.6), ACK, and the serial order of targets. */
#include "unit/proxy/rig.h"

static const struct bl_px_target *target; /* of the decision under test */

static void to_target(struct rig *r, struct bl_px *px)
{
        (void)r;
        assert_int_equal(bl_px_add(px, target), 0);
        bl_px_go(px);
}

/* The octets of `g` without the lines that begin with any of `names`. */
static void without(const struct got *g, const char *const *names, char *out)
{
        const char *p = g->text;
        while (*p) {
                const char *end = strstr(p, "\r\n");
                size_t n = end ? (size_t)(end + 2 - p) : strlen(p);
                bool skip = false;
                for (unsigned i = 0; names[i]; i++)
                        skip |= strncasecmp(p, names[i], strlen(names[i])) == 0;
                if (!skip) {
                        memcpy(out, p, n);
                        out += n;
                }
                p += n;
        }
        *out = 0;
}

static void untouched_headers_go_octet_for_octet(void **state)
{
        (void)state;
        static const char odd[] = "s:   spaced  out  \r\n"
                                  "X-Folded: one\r\n\ttwo\r\n   three\r\n"
                                  "sUPPORTED : a ,b,  c\r\n"
                                  "m:<sip:a@x>;+sip.instance=\"<urn:uuid:0>\"  ,  \"B, C\" <sip:b@y>\r\n"
                                  "Route: <sip:proxy.test;lr>,<sip:bob@bob.test;lr;q=1>  ;x=y\r\n"
                                  "X-Utf8: \xe2\x82\xac \xff\r\n"
                                  "Warning: 399 x \"a\\\"b\"\r\n";
        static const char *const ours[] = {"Via", "v:", "Max-Forwards", "Route", "Max-Breadth", "MESSAGE", NULL};
        struct rig *r = rig_up();
        target = &(struct bl_px_target){.pop_routes = 1};
        r->decide = to_target;
        const char *sent =
                REQ(r, .method = "MESSAGE", .ruri = "sip:B%6fb@bob.test;a=b", .headers = odd, .body = "two\r\nlines\0");
        struct got original = {.text = strdup(sent), .n = strlen(sent)};
        say(r, ALICE, sent);
        const struct got *g = got(r, BOB, "MESSAGE sip:B%6fb@bob.test;a=b SIP/2.0\r\n");
        char a[8192], b[8192];
        without(&original, ours, a);
        without(g, ours, b);
        assert_string_equal(a, b);
        assert_true(contains(g, "\r\nRoute: <sip:bob@bob.test;lr;q=1>  ;x=y\r\n"));
        free(original.text);
        rig_end(r);
}

static void via_names_us_and_where_it_came_from(void **state)
{
        (void)state;
        struct rig *r = rig_new();
        r->conf.via_extra = BL_STR(";sticky");
        rig_start(r, BL_UDP);
        SAY(r, ALICE, .method = "MESSAGE", .ruri = "sip:bob@bob.test");
        struct bl_msg *m = parsed(r, got(r, BOB, "MESSAGE"));
        struct bl_via v;
        assert_str(m->via.sent_by, "proxy.test:5060");
        assert_str(m->via.transport, "UDP");
        assert_true(m->via.has_rport && m->via.rport == 0 && m->via.rfc3261);
        assert_true(bl_via_param(&m->via, BL_STR("sticky"), NULL));
        assert_int_equal(bl_msg_via(m, 1, &v), 0);
        /* RFC 3581: alice's flow has a port of its own, she asked for rport */
        assert_true(v.rport != 0 && v.rport != 5060);
        assert_true(v.received.n && v.received.p[0] != '[');
        assert_str(v.branch, "z9hG4bKone");
        assert_int_equal(bl_msg_via(m, 2, &v), BL_ENOENT);
        rig_end(r);
}

static void via_of_a_node_without_a_name(void **state)
{
        (void)state;
        struct rig *r = rig_new();
        r->conf.sent_by_host = (struct bl_str){NULL, 0};
        rig_start(r, BL_UDP);
        SAY(r, ALICE, .method = "MESSAGE", .ruri = "sip:bob@bob.test;transport=tcp");
        run_ms(r, 50);
        struct bl_msg *m = parsed(r, got(r, BOB, "MESSAGE"));
        char text[BL_ADDR_TEXT] = {0};
        struct bl_sb b = {text, 0, sizeof(text) - 1, false};
        struct bl_addr a = sim_addr(r->node, 5060);
        bl_addr_put(&b, &a);
        assert_str(m->via.sent_by, text); /* the listener, not the connection's own port */
        assert_str(m->via.transport, "TCP");
        answer(r, BOB, got(r, BOB, "MESSAGE"), 200, "b", "");
        got(r, ALICE, "SIP/2.0 200 ");
        rig_end(r);
}

/* The far side tells transactions apart by it, so that no later try may name another. */
static void sent_by_is_one_for_all_tries(void **state)
{
        (void)state;
        struct rig *r = rig_new();
        r->conf.sent_by_host = (struct bl_str){NULL, 0};
        r->listeners[1].local.port = 5070;
        r->map[2 * EPS].tp = BL_UDP; /* bob by UDP, then carol by TCP */
        rig_start(r, BL_UDP);
        SAY(r, ALICE, .method = "MESSAGE", .ruri = "sip:x@pair.test");
        struct bl_msg *first = parsed(r, got(r, BOB, "MESSAGE"));
        sim_cut_between(r->ep[BOB]->node, r->node, SIM_CUT_RESET);
        run_ms(r, 100);
        struct bl_msg *second = parsed(r, got(r, CAROL, "MESSAGE"));
        assert_int_equal(first->via.port, 5060);
        assert_str(second->via.transport, "TCP");
        assert_true(bl_str_eq(first->via.sent_by, second->via.sent_by));
        assert_true(bl_str_eq(first->via.branch, second->via.branch));
        rig_end(r);
}

static void a_forged_received_goes(void **state)
{
        (void)state;
        struct rig *r = rig_up();
        say(r, ALICE,
            "MESSAGE sip:bob@bob.test SIP/2.0\r\nVia: SIP/2.0/UDP a.example;received=192.0.2.66;branch=z9hG4bKx ;y\r\n"
            "From: <sip:a@b>;tag=1\r\nTo: <sip:bob@bob.test>\r\nCall-ID: q\r\nCSeq: 1 MESSAGE\r\n\r\n");
        const struct got *g = got(r, BOB, "MESSAGE");
        struct bl_msg *m = parsed(r, g);
        struct bl_via v;
        assert_int_equal(bl_msg_via(m, 1, &v), 0);
        assert_false(contains(g, "192.0.2.66"));
        assert_true(v.received.n > 0);
        assert_false(v.has_rport);
        assert_true(bl_via_param(&v, BL_STR("y"), NULL));
        /* absent: 70 is added; Max-Breadth and Content-Length too */
        assert_str(value_of(r, g, "Max-Forwards"), "70");
        assert_str(value_of(r, g, "Max-Breadth"), "60");
        assert_str(value_of(r, g, "Content-Length"), "0");
        rig_end(r);
}

static void every_edit_of_a_target(void **state)
{
        (void)state;
        struct rig *r = rig_up();
        target = &(struct bl_px_target){.ruri = BL_STR("sip:b@10.9.9.9;ob"),
                                        .pop_routes = 2,
                                        .push_routes = BL_STR("<sip:P@carol.test;lr>, <sip:second.test;lr>"),
                                        .path = BL_STR("<sip:P@proxy.test;lr>"),
                                        .record_route = BL_STR("<sip:proxy.test;lr;d=1>")};
        r->decide = to_target;
        SAY(r, ALICE, .method = "SUBSCRIBE", .ruri = "sip:bob@bob.test",
            .headers = "Max-Forwards: 10\r\nRoute: <sip:proxy.test;lr>\r\nRoute: <sip:proxy.test;lr;x>, "
                       "<sip:third.test;lr>\r\n"
                       "Record-Route: <sip:before.test;lr>\r\nMax-Breadth: 5\r\n");
        const struct got *g = got(r, CAROL, "SUBSCRIBE sip:b@10.9.9.9;ob SIP/2.0\r\n");
        static const char *const routes[] = {"<sip:P@carol.test;lr>", "<sip:second.test;lr>", "<sip:third.test;lr>"};
        struct bl_msg *m = parsed(r, g);
        struct bl_values it = {0};
        unsigned n = 0;
        while (bl_msg_values(m, BL_H_ROUTE, &it)) {
                assert_in_range(n, 0, 2);
                assert_str(it.value, routes[n++]);
        }
        assert_int_equal(n, 3);
        assert_str(value_of(r, g, "Max-Forwards"), "9");
        assert_str(value_of(r, g, "Max-Breadth"), "5");
        assert_str(value_of(r, g, "Path"), "<sip:P@proxy.test;lr>");
        assert_true(contains(g, "Record-Route: <sip:proxy.test;lr;d=1>\r\nRecord-Route: <sip:before.test;lr>\r\n"));
        got_none(r, BOB, "SUBSCRIBE");
        rig_end(r);
}

static void next_overrides_the_route(void **state)
{
        (void)state;
        struct rig *r = rig_up();
        target = &(struct bl_px_target){.next = BL_STR("sip:dave.test")};
        r->decide = to_target;
        SAY(r, ALICE, .method = "MESSAGE", .ruri = "sip:bob@bob.test", .headers = "Route: <sip:carol.test;lr>\r\n");
        got(r, DAVE, "MESSAGE sip:bob@bob.test SIP/2.0\r\n");
        got_none(r, CAROL, "MESSAGE");
        rig_end(r);
}

/* 16.6 step 6: the next hop wants itself in the Request-URI. */
static void towards_a_strict_router(void **state)
{
        (void)state;
        static const struct {
                struct bl_px_target t;
                const char *headers, *start;
                const char *routes;
        } rows[] = {
                {{.strict_fallback = true},
                 "Route: <sip:s@carol.test>, <sip:x.test;lr>\r\n",
                 "MESSAGE sip:s@carol.test SIP/2.0\r\n",
                 "<sip:x.test;lr>|<sip:bob@bob.test>|"},
                {{.strict_fallback = true, .pop_routes = 1},
                 "Route: <sip:p@proxy.test;lr>, <sip:s@carol.test>\r\n",
                 "MESSAGE sip:s@carol.test SIP/2.0\r\n",
                 "<sip:bob@bob.test>|"},
                {{.strict_fallback = true, .push_routes = {"<sip:s@carol.test;a=b>, <sip:y.test;lr>", 39}},
                 "Route: <sip:x.test;lr>\r\n",
                 "MESSAGE sip:s@carol.test;a=b SIP/2.0\r\n",
                 "<sip:y.test;lr>|<sip:x.test;lr>|<sip:bob@bob.test>|"},
                {{.strict_fallback = false},
                 "Route: <sip:s@carol.test>, <sip:x.test;lr>\r\n",
                 "MESSAGE sip:bob@bob.test SIP/2.0\r\n",
                 "<sip:s@carol.test>|<sip:x.test;lr>|"},
        };
        (void)state;
        for (size_t i = 0; i < BL_ARRAY_LEN(rows); i++) {
                struct rig *r = rig_up();
                target = &rows[i].t;
                r->decide = to_target;
                SAY(r, ALICE, .method = "MESSAGE", .ruri = "sip:bob@bob.test", .headers = rows[i].headers);
                struct bl_msg *m = parsed(r, got(r, CAROL, rows[i].start));
                char text[500];
                struct bl_sb b = BL_SB(text);
                struct bl_values it = {0};
                while (bl_msg_values(m, BL_H_ROUTE, &it)) {
                        bl_sb_add(&b, it.value);
                        bl_sb_addc(&b, '|');
                }
                assert_str(bl_sb_str(&b), rows[i].routes);
                rig_end(r);
        }
}

static void what_cannot_be_routed(void **state)
{
        static const struct {
                const char *ruri, *headers, *answer;
        } rows[] = {
                {"tel:+49123", "", "SIP/2.0 416 "},
                {"sip:bob@bob.test", "Route: sip:carol.test;lr\r\n", "SIP/2.0 400 "},
                {"sip:bob@bob.test", "Route: <sip:carol.test:99999;lr>\r\n", "SIP/2.0 400 "},
                {"sip:bob@bob.test", "Route: <http://carol.test/>\r\n", "SIP/2.0 416 "},
        };
        (void)state;
        for (size_t i = 0; i < BL_ARRAY_LEN(rows); i++) {
                struct rig *r = rig_up();
                SAY(r, ALICE, .method = "MESSAGE", .ruri = rows[i].ruri, .headers = rows[i].headers);
                got(r, ALICE, rows[i].answer);
                rig_end(r);
        }
}

static void go_with_nothing(struct rig *r, struct bl_px *px)
{
        (void)r;
        bl_px_go(px);
}

static void no_target_at_all(void **state)
{
        (void)state;
        struct rig *r = rig_up();
        r->decide = go_with_nothing;
        SAY(r, ALICE, .method = "MESSAGE", .ruri = "sip:bob@bob.test");
        got(r, ALICE, "SIP/2.0 480 ");
        rig_end(r);
}

static void too_many_targets(struct rig *r, struct bl_px *px)
{
        (void)r;
        for (unsigned i = 0; i < PX_TARGETS; i++)
                assert_int_equal(add_uri(px, "sip:bob@bob.test", (uint16_t)i), 0);
        assert_int_equal(add_uri(px, "sip:bob@bob.test", 0), BL_ELIMIT);
        bl_px_drop(px);
}

static void sixteen_targets_and_no_more(void **state)
{
        (void)state;
        struct rig *r = rig_up();
        r->decide = too_many_targets;
        SAY(r, ALICE, .method = "MESSAGE", .ruri = "sip:bob@bob.test");
        assert_int_equal(r->requests, 1);
        assert_int_equal(r->ep[ALICE]->n, 0);
        rig_end(r);
}

/* The branch is the role's when it has one, and further Via parameters too. */
static void role_branch(void *role, struct bl_px *px, unsigned t, struct bl_sb *out)
{
        (void)role, (void)px;
        bl_sb_addz(out, "z9hG4bKrole-");
        bl_sb_addu(out, t);
}
static void role_via(void *role, struct bl_px *px, unsigned t, const struct bl_try *try, struct bl_sb *out)
{
        (void)role, (void)px, (void)t, (void)try;
        bl_sb_addz(out, ";seal=abc");
}
static int role_outgoing(void *role, struct bl_px *px, unsigned t, const struct bl_try *try, struct bl_edits *e)
{
        (void)role, (void)px, (void)t, (void)try;
        bl_edit_append_named(e, BL_STR("X-Role"), BL_STR("was here"));
        return 0;
}

static void the_role_writes_branch_and_last_edits(void **state)
{
        (void)state;
        struct rig *r = rig_new();
        r->role.branch = role_branch;
        r->role.via = role_via;
        r->role.outgoing = role_outgoing;
        rig_start(r, BL_UDP);
        SAY(r, ALICE, .method = "MESSAGE", .ruri = "sip:bob@bob.test");
        const struct got *g = got(r, BOB, "MESSAGE");
        struct bl_msg *m = parsed(r, g);
        assert_str(m->via.branch, "z9hG4bKrole-0");
        assert_true(bl_via_param(&m->via, BL_STR("seal"), NULL));
        assert_str(value_of(r, g, "X-Role"), "was here");
        rig_end(r);
}

static void role_record_route(void *role, struct bl_px *px, const struct bl_px_target *g, const struct bl_try *t,
                              struct bl_sb *out)
{
        (void)role, (void)px;
        bl_px_put_record_route(g->record_route, t->tp, out);
        bl_sb_addz(out, ", ");
        bl_px_put_record_route(g->record_route, BL_TCP, out);
}

/* Two values, once the transport is known (RFC 5658); a sips URI serves both sides. */
static void the_role_doubles_record_route(void **state)
{
        (void)state;
        struct rig *r = rig_new();
        r->role.record_route = role_record_route;
        rig_start(r, BL_UDP);
        r->decide = to_target;
        target = &(struct bl_px_target){.record_route = BL_STR("<sip:us.test;lr;d=1>")};
        SAY(r, ALICE, .method = "MESSAGE", .ruri = "sip:bob@bob.test");
        const struct got *g = got(r, BOB, "MESSAGE");
        assert_true(contains(
                g, "Record-Route: <sip:us.test;lr;d=1;transport=udp>, <sip:us.test;lr;d=1;transport=tcp>\r\n"));
        target = &(struct bl_px_target){.record_route = BL_STR("<sips:us.test;lr;d=1>")};
        SAY(r, ALICE, .method = "INFO", .ruri = "sip:bob@bob.test");
        g = got(r, BOB, "INFO");
        assert_true(contains(g, "Record-Route: <sips:us.test;lr;d=1>\r\n"));
        rig_end(r);
}

/* Serial alternatives of one target, each with a whole list of routes (differing Paths of one instance). */
static void alternatives_one_after_another(void **state)
{
        static const struct bl_str alt[] = {BL_STR("<sip:P2@carol.test;lr>, <sip:x.test;lr>"),
                                            BL_STR("<sip:P3@dave.test;lr>, <sip:w.test;lr>"),
                                            BL_STR("<sip:P2@carol.test;lr;n=e2>")};
        (void)state;
        struct rig *r = rig_up();
        target = &(struct bl_px_target){
                .push_routes = BL_STR("<sip:P1@bob.test;lr>, <sip:y.test;lr>"), .alt_routes = alt, .n_alt = 3};
        r->decide = to_target;
        SAY(r, ALICE, .method = "INVITE", .ruri = "sip:bob@bob.test");
        const struct got *b = got(r, BOB, "INVITE");
        assert_true(contains(b, "\r\nRoute: <sip:P1@bob.test;lr>, <sip:y.test;lr>\r\n"));
        got_none(r, CAROL, "INVITE");
        answer(r, BOB, b, 430, "b", "");
        const struct got *c = got(r, CAROL, "INVITE");
        assert_true(contains(c, "\r\nRoute: <sip:P2@carol.test;lr>, <sip:x.test;lr>\r\n"));
        answer(r, CAROL, c, 430, "c", "");
        const struct got *d = got(r, DAVE, "INVITE");
        assert_true(contains(d, "\r\nRoute: <sip:P3@dave.test;lr>, <sip:w.test;lr>\r\n"));
        assert_false(contains(d, "x.test"));
        answer(r, DAVE, d, 200, "d", "");
        got(r, ALICE, "SIP/2.0 200 ");
        rig_end(r);
}

/* A redirect of an alternative: the rest of that alternative's list stays below it. */
static void a_redirect_of_an_alternative(void **state)
{
        static const struct bl_str alt[] = {BL_STR("<sip:P2@carol.test;lr>, <sip:x.test;lr>")};
        (void)state;
        struct rig *r = rig_up();
        char contact[256], line[300], ip[BL_ADDR_TEXT] = {0};
        struct bl_sb b = BL_SB(ip);
        struct bl_addr a = sim_addr(r->ep[DAVE]->node, 0);
        bl_addr_put_ip(&b, &a);
        snprintf(contact, sizeof(contact), "Contact: <sip:P2@carol.test;lr;maddr=%s>\r\n", ip);
        snprintf(line, sizeof(line), "\r\nRoute: <sip:P2@carol.test;lr;maddr=%s>, <sip:x.test;lr>\r\n", ip);
        target = &(struct bl_px_target){
                .push_routes = BL_STR("<sip:P1@bob.test;lr>, <sip:y.test;lr>"), .alt_routes = alt, .n_alt = 1};
        r->decide = to_target;
        SAY(r, ALICE, .method = "INVITE", .ruri = "sip:bob@bob.test");
        answer(r, BOB, got(r, BOB, "INVITE"), 430, "b", "");
        answer(r, CAROL, got(r, CAROL, "INVITE"), 305, "c", contact);
        const struct got *d = got(r, DAVE, "INVITE");
        if (!contains(d, line))
                fail_msg("want %s in\n%s", line, d->text);
        answer(r, DAVE, d, 200, "d", "");
        got(r, ALICE, "SIP/2.0 200 ");
        rig_end(r);
}

/* A redirect's target takes the place of the top Route, whether we pushed it or it was there (section 3.4). */
static void a_redirect_replaces_the_top_route(void **state)
{
        static const struct bl_px_target rows[] = {
                {.pop_routes = 1},
                {.pop_routes = 2, .push_routes = BL_STR("<sip:P@bob.test;lr;d=1>, <sip:y.test;lr>")},
                {.pop_routes = 2, .push_routes = BL_STR("<sip:P@bob.test;lr;d=1>")},
        };
        static const char *const want[] = {"Route: <%s>, <sip:z.test;lr>", "Route: <%s>, <sip:y.test;lr>\r\n",
                                           "Route: <%s>\r\n"};
        (void)state;
        for (size_t i = 0; i < BL_ARRAY_LEN(rows); i++) {
                struct rig *r = rig_up();
                char ip[BL_ADDR_TEXT] = {0}, uri[200], contact[256], line[300];
                struct bl_sb b = BL_SB(ip);
                struct bl_addr a = sim_addr(r->ep[CAROL]->node, 0);
                bl_addr_put_ip(&b, &a);
                snprintf(uri, sizeof(uri), "sip:P@bob.test;lr;d=1;maddr=%s", ip);
                snprintf(contact, sizeof(contact), "Contact: <%s>\r\n", uri);
                snprintf(line, sizeof(line), want[i], uri);
                target = &rows[i];
                r->decide = to_target;
                SAY(r, ALICE, .method = "BYE", .ruri = "sip:b@192.0.2.9",
                    .headers = "Route: <sip:proxy.test;lr>, <sip:P@bob.test;lr;d=1>, <sip:z.test;lr>\r\n");
                answer(r, BOB, got(r, BOB, "BYE"), 305, "b", contact);
                const struct got *c = got(r, CAROL, "BYE sip:b@192.0.2.9 SIP/2.0\r\n");
                if (!contains(c, line))
                        fail_msg("want %s in\n%s", line, c->text);
                assert_false(contains(c, "<sip:P@bob.test;lr;d=1>"));
                answer(r, CAROL, c, 200, "c", "");
                got(r, ALICE, "SIP/2.0 200 ");
                rig_end(r);
        }
}

static void ack_goes_once_and_leaves_nothing(void **state)
{
        (void)state;
        struct rig *r = rig_up();
        SAY(r, ALICE, .method = "ACK", .ruri = "sip:bob@bob.test", .to = "<sip:bob@bob.test>;tag=b");
        run_ms(r, 100);
        const struct got *g = got(r, BOB, "ACK sip:bob@bob.test SIP/2.0\r\n");
        assert_str(value_of(r, g, "Max-Forwards"), "69");
        assert_false(contains(g, "Max-Breadth"));
        assert_int_equal(bl_proxy_contexts(r->p), 0);
        assert_int_equal(rig_txns(r), 0);
        run_ms(r, 40000);
        assert_int_equal(count_of(r, BOB, "ACK"), 1);
        assert_int_equal(r->ep[ALICE]->n, 0);
        rig_end(r);
}

/* RFC 5658, and the transports that a URI cannot or need not name. */
static void a_record_route_that_names_its_transport(void **state)
{
        static const struct {
                const char *one, *want;
                enum bl_tp tp;
        } row[] = {
                {"<sip:p@h;lr>", "<sip:p@h;lr;transport=udp>", BL_UDP},
                {"<sip:p@h;lr>", "<sip:p@h;lr;transport=tls>", BL_TLS},
                {"<sip:p@h;lr>", "<sip:p@h;lr>", BL_WS},
                {"<sip:p@h;lr>", "<sip:p@h;lr>", BL_WSS},
                {"<sip:p@h;lr>", "<sip:p@h;lr>", BL_TP_COUNT},
        };
        (void)state;
        for (size_t i = 0; i < BL_ARRAY_LEN(row); i++) {
                char text[64];
                struct bl_sb b = BL_SB(text);
                bl_px_put_record_route(bl_str_z(row[i].one), row[i].tp, &b);
                assert_true(bl_str_eq(bl_sb_str(&b), bl_str_z(row[i].want)));
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(untouched_headers_go_octet_for_octet),
                cmocka_unit_test(via_names_us_and_where_it_came_from),
                cmocka_unit_test(via_of_a_node_without_a_name),
                cmocka_unit_test(sent_by_is_one_for_all_tries),
                cmocka_unit_test(a_forged_received_goes),
                cmocka_unit_test(every_edit_of_a_target),
                cmocka_unit_test(next_overrides_the_route),
                cmocka_unit_test(towards_a_strict_router),
                cmocka_unit_test(what_cannot_be_routed),
                cmocka_unit_test(no_target_at_all),
                cmocka_unit_test(sixteen_targets_and_no_more),
                cmocka_unit_test(the_role_writes_branch_and_last_edits),
                cmocka_unit_test(the_role_doubles_record_route),
                cmocka_unit_test(alternatives_one_after_another),
                cmocka_unit_test(a_redirect_of_an_alternative),
                cmocka_unit_test(a_redirect_replaces_the_top_route),
                cmocka_unit_test(ack_goes_once_and_leaves_nothing),
                cmocka_unit_test(a_record_route_that_names_its_transport),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
