/* Phones and the people who use them. */
#include "scenario/world/phone.h"

#include <stdlib.h>

static void on_event(void *ctx, const struct bl_ua_event *ev);

static void phone_boot(struct sim_node *n, void *ctx)
{
        struct phone *p = ctx;
        p->stack = bl_ua_stack_new(sim_env(n, 0), &p->stack_conf);
        p->ua = p->stack ? bl_ua_new(p->stack, &p->conf) : NULL;
        if (!p->ua)
                abort();
        if (!p->conf.register_off)
                bl_ua_start(p->ua);
}

static void phone_dead(struct sim_node *n, void *ctx)
{
        struct phone *p = ctx;
        (void)n;
        bl_ua_free(p->ua);
        bl_ua_stack_free(p->stack);
        p->ua = NULL;
        p->stack = NULL;
        for (unsigned i = 0; i < p->n_legs; i++)
                p->legs[i].dialog = NULL;
        for (unsigned i = 0; i < p->w->n_asks; i++)
                if (p->w->asks[i].from == p)
                        p->w->asks[i].request = NULL;
}

struct phone *phone_new(struct world *w, const char *name)
{
        return phone_new_at(w, name, "example.com");
}

struct phone *phone_new_at(struct world *w, const char *name, const char *domain)
{
        static const struct sim_node_ops ops = {.boot = phone_boot, .dead = phone_dead};
        struct phone *p = calloc(1, sizeof(*p));
        if (!p || w->n_phones == WORLD_PHONES)
                abort();
        p->index = w->n_phones;
        w->phones[w->n_phones++] = p;
        p->w = w;
        snprintf(p->name, sizeof(p->name), "%s", name);
        snprintf(p->aor, sizeof(p->aor), "sip:%s@%s", name, domain);
        snprintf(p->password, sizeof(p->password), "secret-%s", name);
        snprintf(p->instance, sizeof(p->instance), "urn:uuid:00000000-0000-1000-8000-%012u", w->n_phones);
        p->stack_conf.hop.dns = p->stack_conf.hop.may_open = true;
        p->stack_conf.hop.map = w->map;
        p->stack_conf.hop.n_map = w->n_map;
        p->conf = (struct bl_ua_conf){.aor = bl_str_z(p->aor),
                                      .auth_user = bl_str_z(p->name),
                                      .password = bl_str_z(p->password),
                                      .instance = bl_str_z(p->instance),
                                      .expires_s = w->conf.expires_s,
                                      .event = on_event,
                                      .ctx = p};
        p->node = sim_node(w->sim, name, 1, &ops, p);
        return p;
}

void phone_start(struct phone *p)
{
        sim_start(p->node);
}

unsigned phone_flows(const struct phone *p)
{
        return p->ua ? bl_ua_flows(p->ua) : 0;
}

struct phone *phone_up(struct world *w, const char *name)
{
        struct phone *p = phone_new(w, name);
        unsigned edges = 0, set = w->conf.set_size ? w->conf.set_size : 2;
        for (unsigned i = 1; i <= WORLD_EDGES; i++)
                edges += w->edge[i] && sim_alive(w->edge[i]->node);
        unsigned want = edges == 0 ? 1 : set < edges ? set : edges;
        phone_start(p);
        WAIT(w, phone_flows(p) >= want, 30);
        return p;
}

unsigned phone_edge(struct phone *p, unsigned i)
{
        struct world *w = p->w;
        for (unsigned k = 0;; k++) {
                bl_flow_id f = sim_flow_to(p->node, NULL, k);
                if (!f)
                        return 0;
                for (unsigned e = 1; e <= WORLD_EDGES; e++)
                        for (unsigned j = 0; w->edge[e] && sim_flow_to(p->node, w->edge[e]->node, j); j++)
                                if (sim_flow_to(p->node, w->edge[e]->node, j) == f && i-- == 0)
                                        return e;
        }
}

bool phone_has_edge(struct phone *p, unsigned edge)
{
        return sim_flow_to(p->node, p->w->edge[edge]->node, 0) != 0;
}

/* --- legs and asks --- */

static struct leg *leg_new(struct phone *p, struct bl_dialog *d, bool incoming)
{
        if (p->n_legs == PHONE_LEGS)
                abort();
        struct leg *l = &p->legs[p->n_legs++];
        struct bl_str id = bl_dialog_call_id(d);
        *l = (struct leg){.phone = p, .dialog = d, .incoming = incoming};
        snprintf(l->call_id, sizeof(l->call_id), "%.*s", BL_STR_ARG(id));
        bl_dialog_set_user(d, l);
        return l;
}

static struct ask *ask_new(struct phone *p, struct leg *l, enum bl_method m, char *ret_header, size_t cap)
{
        struct world *w = p->w;
        if (w->n_asks == WORLD_ASKS)
                abort();
        struct ask *a = &w->asks[w->n_asks];
        *a = (struct ask){.from = p, .leg = l, .method = m, .serial = w->n_asks++, .sent_at = sim_now(w->sim)};
        snprintf(ret_header, cap, "X-Serial: %u\r\n", a->serial);
        return a;
}

static struct ask *ask_of(struct world *w, const struct bl_msg *m)
{
        uint32_t serial;
        if (!m || bl_str_u32(bl_msg_other(m, BL_STR("X-Serial")), &serial) < 0 || serial >= w->n_asks)
                return NULL;
        return &w->asks[serial];
}

struct leg *phone_leg(struct phone *p, unsigned i)
{
        if (i >= p->n_legs)
                world_fail(p->w, __FILE__, __LINE__, "%s has no call number %u", p->name, i);
        return &p->legs[i];
}

static void must_start(struct phone *p, struct ask *a, int rc)
{
        struct bl_str m = bl_method_name(a->method);
        if (rc < 0)
                world_fail(p->w, __FILE__, __LINE__, "%s cannot send %.*s: %s", p->name, BL_STR_ARG(m),
                           bl_err_text(rc));
        bl_ua_request_set_user(a->request, a);
}

struct leg *phone_call(struct phone *p, const char *to)
{
        static const struct bl_ua_body sdp = {BL_STR("application/sdp"),
                                              BL_STR("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\n")};
        char extra[64];
        struct bl_dialog *d = NULL;
        struct ask *a = ask_new(p, NULL, BL_M_INVITE, extra, sizeof(extra));
        sim_enter(sim_env(p->node, 0));
        must_start(p, a, bl_ua_call(p->ua, bl_str_z(to), bl_str_z(extra), &sdp, &d, &a->request));
        a->leg = leg_new(p, d, false);
        a->leg->invite = a;
        struct leg *l = a->leg;
        sim_leave(sim_env(p->node, 0));
        return l;
}

struct ask *leg_ask(struct leg *l, enum bl_method m)
{
        return leg_ask_with(l, m, NULL);
}

struct ask *leg_ask_with(struct leg *l, enum bl_method m, const struct bl_ua_body *body)
{
        struct phone *p = l->phone;
        char extra[64];
        if (!l->dialog)
                world_fail(p->w, __FILE__, __LINE__, "the call of %s is over", p->name);
        struct ask *a = ask_new(p, l, m, extra, sizeof(extra));
        sim_enter(sim_env(p->node, 0));
        must_start(p, a, bl_ua_in_dialog(l->dialog, m, bl_str_z(extra), body, &a->request));
        sim_leave(sim_env(p->node, 0));
        return a;
}

struct ask *phone_ask(struct phone *p, enum bl_method m, const char *to)
{
        return phone_ask_with(p, m, to, NULL);
}

struct ask *phone_ask_with(struct phone *p, enum bl_method m, const char *to, const struct bl_ua_body *body)
{
        char extra[64];
        struct ask *a = ask_new(p, NULL, m, extra, sizeof(extra));
        sim_enter(sim_env(p->node, 0));
        must_start(p, a, bl_ua_request(p->ua, m, bl_str_z(to), bl_str_z(extra), body, &a->request));
        sim_leave(sim_env(p->node, 0));
        return a;
}

void phone_cancel(struct ask *a)
{
        struct env *e = sim_env(a->from->node, 0);
        sim_enter(e);
        if (a->request)
                bl_ua_cancel(a->request);
        sim_leave(e);
}

/* --- what the application is told --- */

static void must_answer(struct phone *p, struct bl_ua_request *r, unsigned status)
{
        int rc = bl_ua_answer(r, status, (struct bl_str){NULL, 0}, NULL);
        if (rc < 0)
                world_fail(p->w, __FILE__, __LINE__, "%s cannot answer %u: %s", p->name, status, bl_err_text(rc));
}

void leg_answer(struct leg *l, unsigned status)
{
        struct phone *p = l->phone;
        if (!l->waiting)
                return; /* cancelled or answered meanwhile */
        sim_enter(sim_env(p->node, 0));
        struct bl_ua_request *r = l->waiting;
        if (status >= 200)
                l->waiting = NULL;
        l->up = l->up || status / 100 == 2;
        must_answer(p, r, status);
        sim_leave(sim_env(p->node, 0));
}

static void pick_up(struct sim *s, void *arg)
{
        struct leg *l = arg;
        (void)s;
        if (sim_alive(l->phone->node) && l->waiting)
                leg_answer(l, l->phone->answer ? l->phone->answer : 200);
}

static void ring(struct sim *s, void *arg)
{
        struct leg *l = arg;
        struct phone *p = l->phone;
        if (!sim_alive(p->node) || !l->waiting)
                return;
        leg_answer(l, 180);
        if (p->answer != 1)
                sim_at(s, (bl_us)((p->ring_s > 0 ? p->ring_s : 0.1) * 1e6), pick_up, l);
}

static void on_invited(struct phone *p, const struct bl_ua_event *ev)
{
        struct leg *l = leg_new(p, ev->dialog, true);
        p->invited++;
        l->waiting = ev->request;
        if (p->answer_in_callback) {
                l->waiting = NULL;
                l->up = true;
                must_answer(p, ev->request, 200);
        } else {
                sim_at(p->w->sim, 0, ring, l);
        }
}

static void on_request(struct phone *p, const struct bl_ua_event *ev)
{
        struct leg *l = ev->dialog ? bl_dialog_user(ev->dialog) : NULL;
        p->got[ev->method]++;
        if (l)
                l->got[ev->method]++;
        if (ev->method != BL_M_BYE && ev->request)
                must_answer(p, ev->request, 200);
}

static void on_delivered(struct phone *p, const struct bl_ua_event *ev)
{
        struct ask *a = ask_of(p->w, ev->msg);
        if (!a)
                return;
        a->delivered++;
        a->delivered_at = sim_now(p->w->sim);
        if (a->told >> p->index & 1) { /* a fork may tell two phones, but each of them once */
                struct bl_str m = bl_method_name(a->method);
                world_fail(p->w, __FILE__, __LINE__, "%.*s number %u was told to %s twice", BL_STR_ARG(m), a->serial,
                           p->name);
        }
        a->told |= (uint64_t)1 << p->index;
        if (p == a->from && ev->msg->to_tag.n) /* a call to oneself rings here, too; inside a dialog that is nobody */
                world_fail(p->w, __FILE__, __LINE__, "%s was told of its own request", p->name);
}

static void on_answer(struct phone *p, const struct bl_ua_event *ev)
{
        struct ask *a = ev->request ? bl_ua_request_user(ev->request) : NULL;
        if (!a)
                return;
        if (ev->kind == BL_UA_PROGRESS) {
                a->provisional = ev->status;
                return;
        }
        a->status = ev->status;
        a->local = ev->local;
        a->tries = ev->tries;
        a->answered_at = sim_now(p->w->sim);
        a->request = NULL;
        if (a->leg && a->method == BL_M_INVITE && ev->status / 100 == 2)
                a->leg->up = true;
}

static void on_event(void *ctx, const struct bl_ua_event *ev)
{
        struct phone *p = ctx;
        struct leg *l = ev->dialog ? bl_dialog_user(ev->dialog) : NULL;
        switch (ev->kind) {
        case BL_UA_REGISTERED:
                p->registered++;
                break;
        case BL_UA_UNREGISTERED:
                p->unregistered++;
                sim_note(p->w->sim, "%s: flow %u is no longer registered: %.*s", p->name, ev->reg_id,
                         BL_STR_ARG(ev->reason));
                break;
        case BL_UA_REGISTER_FAILED:
                p->refused++;
                sim_note(p->w->sim, "%s: flow %u cannot register: %u %.*s, again in %u ms", p->name, ev->reg_id,
                         ev->status, BL_STR_ARG(ev->reason), ev->retry_ms);
                p->last_status = ev->status;
                break;
        case BL_UA_REDIRECTED:
                p->redirected++;
                snprintf(p->last_redirect, sizeof(p->last_redirect), "%.*s", BL_STR_ARG(ev->text));
                break;
        case BL_UA_FLOW_UP:
                p->flows_up++;
                break;
        case BL_UA_FLOW_DOWN:
                p->flows_down++;
                break;
        case BL_UA_INVITED:
                on_delivered(p, ev);
                on_invited(p, ev);
                break;
        case BL_UA_REQUEST:
                on_delivered(p, ev);
                on_request(p, ev);
                break;
        case BL_UA_PROGRESS:
        case BL_UA_ANSWERED:
                on_answer(p, ev);
                break;
        case BL_UA_ACKED:
                if (l)
                        l->acked = true;
                break;
        case BL_UA_CANCELLED:
                if (l) {
                        l->cancelled = true;
                        l->waiting = NULL;
                }
                break;
        case BL_UA_DIALOG_GONE:
                if (l) {
                        l->dialog = NULL;
                        l->waiting = NULL;
                        l->up = false;
                }
                break;
        }
}

/* --- what stories say often --- */

struct leg *phone_talk(struct phone *a, struct phone *b, struct leg **ret_b)
{
        struct world *w = a->w;
        unsigned before = b->n_legs;
        struct leg *l = phone_call(a, b->aor);
        WAIT(w, l->invite->status != 0, 40);
        MUST_EQ(w, l->invite->status, 200);
        MUST_EQ(w, b->n_legs, before + 1);
        struct leg *at_b = phone_leg(b, before);
        WAIT(w, at_b->acked, 10);
        MUST_EQ(w, l->invite->delivered, 1);
        if (ret_b)
                *ret_b = at_b;
        return l;
}

void leg_must_reach(struct leg *l, enum bl_method m)
{
        struct world *w = l->phone->w;
        struct ask *a = leg_ask(l, m);
        WAIT(w, a->status != 0, 40);
        MUST_EQ(w, a->status, 200);
        MUST_EQ(w, a->delivered, 1);
}

void leg_hang_up(struct leg *l)
{
        leg_must_reach(l, BL_M_BYE);
}

static bool all_answered(const struct world *w)
{
        for (unsigned i = 0; i < w->n_asks; i++)
                if (w->asks[i].status == 0 && sim_alive(w->asks[i].from->node))
                        return false;
        return true;
}

void world_settle(struct world *w, double seconds)
{
        WAIT(w, all_answered(w), seconds);
        for (unsigned i = 0; i < w->n_asks; i++) {
                const struct ask *a = &w->asks[i];
                if (a->status / 100 == 2 && (a->leg || a->method != BL_M_OPTIONS)) /* our stack answers those itself */
                        MUST(w, a->delivered >= 1);
        }
}

static bool all_gone(struct world *w)
{
        for (unsigned i = 0; i < w->n_phones; i++)
                for (unsigned k = 0; k < w->phones[i]->n_legs; k++)
                        if (w->phones[i]->legs[k].dialog || w->phones[i]->legs[k].waiting)
                                return false;
        for (unsigned i = 0; i < w->n_asks; i++)
                if (w->asks[i].request)
                        return false;
        return true;
}

void world_forget(struct world *w)
{
        WAIT(w, all_gone(w), 200);
        for (unsigned i = 0; i < w->n_phones; i++)
                w->phones[i]->n_legs = 0;
        w->n_asks = 0;
}
