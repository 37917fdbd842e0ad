/*
 * What happens in the demo, step by step. Each step does something and then waits for what must follow from it, with a
 * deadline; nothing waits a fixed time.
 *
 *   servers listen ─► phones register by discovery, two flows each ─► calls, half each way ─► a re-INVITE each way
 *   ─► the home restarts ─► requests both ways (one redirect per P at most)
 *   ─► SIGKILL the calls' edge ─► requests both ways, at once ─► it comes back, phones have two flows again ─► the next
 *   edge … ─► BYEs, half from each side, right after one more kill
 */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/demo_internal.h"

enum step {
        STEP_SERVERS,   /* wait: home and edges listen */
        STEP_REGISTER,  /* wait: both phones have two flows */
        STEP_CALL,      /* wait: all calls are up at both ends */
        STEP_TALK,      /* wait: a re-INVITE each way was answered */
        STEP_KILL,      /* kill; requests each way; wait: answered */
        STEP_RETURN,    /* the edge starts again; wait: it listens and phones have two flows */
        STEP_HOME,      /* the home is killed and started; wait: it listens */
        STEP_HOME_TALK, /* requests each way; wait: answered */
        STEP_END,       /* kill; BYEs, half from each side; wait: answered */
        STEP_DONE
};

static void enter(struct demo *d, enum step step);

void demo_fail(struct demo *d, const char *fmt, ...)
{
        va_list ap;
        if (d->failed)
                return;
        d->failed = true;
        va_start(ap, fmt);
        vsnprintf(d->why, sizeof d->why, fmt, ap);
        va_end(ap);
        if (d->env)
                env_arm_in(d->env, &d->tick, 0);
}

/* The world ends when the last child has. */
static void stop_when_alone(struct demo *d)
{
        for (unsigned i = 0; i < d->n_node; i++)
                if (d->node[i].child)
                        return;
        bl_world_stop(d->world, 0);
}

static void end(struct demo *d)
{
        if (d->finished)
                return;
        d->finished = true;
        for (unsigned i = 0; i < d->n_node; i++) {
                d->node[i].wanted = false;
                if (d->node[i].child)
                        bl_child_kill(d->node[i].child, SIGKILL);
        }
        stop_when_alone(d);
}

struct call *demo_call_by_id(struct demo *d, struct bl_str call_id)
{
        for (unsigned i = 0; i < d->n_call; i++) /* a demo's worth of calls */
                if (bl_str_eq(bl_str_z(d->call[i].call_id), call_id))
                        return &d->call[i];
        return NULL;
}

/* --- what the phones do --- */

static void ask(struct demo *d, struct call *c, unsigned phone, const char *command)
{
        c->busy = true;
        demo_command(d, phone, "%s %u", command, c->number[phone]);
}

/* Requests still to be asked for in this step: each call has `turn` left. */
static void talk(struct demo *d)
{
        for (unsigned i = 0; i < d->n_call; i++) {
                struct call *c = &d->call[i];
                if (c->busy || c->turn == 0 || !c->up[0] || !c->up[1] || c->over)
                        continue;
                c->turn--;
                ask(d, c, (i + c->turn) % 2 ? BOB : ALICE, "reinvite"); /* one side after the other */
        }
}

static void say_bye(struct demo *d)
{
        for (unsigned i = 0; i < d->n_call; i++) {
                struct call *c = &d->call[i];
                if (c->busy || c->over || !c->up[0] || !c->up[1])
                        continue;
                c->over = true;
                ask(d, c, i % 2 ? BOB : ALICE, "bye");
        }
}

static bool talked(const struct demo *d)
{
        for (unsigned i = 0; i < d->n_call; i++)
                if (d->call[i].busy || (d->call[i].turn && !d->call[i].over))
                        return false;
        return demo_complete(d);
}

static void place_calls(struct demo *d)
{
        unsigned setting_up = 0;
        for (unsigned i = 0; i < d->n_call; i++)
                setting_up += !d->call[i].failed && !(d->call[i].up[0] && d->call[i].up[1]);
        while (d->placed < d->calls && setting_up + (d->placed - d->n_call) < 10) {
                unsigned from = d->placed++ % 2 ? BOB : ALICE;
                demo_command(d, from, "call sip:%s@example.com", d->node[from == ALICE ? BOB : ALICE].name);
        }
}

static bool calls_up(const struct demo *d)
{
        if (d->n_call < d->calls)
                return false;
        for (unsigned i = 0; i < d->n_call; i++)
                if (!d->call[i].up[0] || !d->call[i].up[1])
                        return false;
        return true;
}

/* Both phones hold as many flows as they were told to, to edges that live: by what the wire showed. */
static bool phones_ready(const struct demo *d)
{
        int want = d->edges > 1 ? 2 : 1;
        return __builtin_popcount(d->node[ALICE].registered) >= want &&
               __builtin_popcount(d->node[BOB].registered) >= want;
}

static bool servers_listen(const struct demo *d)
{
        for (unsigned i = HOME; i < d->n_node; i++)
                if (!d->node[i].listening)
                        return false;
        return true;
}

static void note_fault(struct demo *d, const char *what)
{
        struct fault *f = &d->fault[d->faults++];
        snprintf(f->what, sizeof f->what, "%s", what);
        f->at = d->env->now;
        demo_see_fault(d, what);
}

static void kill_node(struct demo *d, unsigned node, const char *more)
{
        char what[64];
        demo_kill(d, node);
        snprintf(what, sizeof what, "SIGKILL %s%s", d->node[node].name, more);
        note_fault(d, what);
}

/* The edge that the next fault takes: first the one that the calls were set up through, then each other one. */
static unsigned first_victim(const struct demo *d)
{
        int n = demo_node_by_name(d, bl_str_z(d->node[ALICE].primary));
        return n >= EDGE1 ? (unsigned)n : EDGE1;
}

/* --- steps --- */

static void enter(struct demo *d, enum step step)
{
        d->step = step;
        d->step_deadline = d->env->now + BL_SEC(step == STEP_CALL ? 60 : 40);
        switch (step) {
        case STEP_SERVERS:
                for (unsigned i = HOME; i < d->n_node && !d->failed; i++)
                        (void)demo_start(d, i);
                break;
        case STEP_REGISTER:
                demo_see_fault(d, "the phones start; they know example.com and nothing of edges' roles");
                (void)(demo_start(d, ALICE) && demo_start(d, BOB));
                break;
        case STEP_CALL:
                demo_see_fault(d, "calls, half each way");
                break;
        case STEP_TALK:
                for (unsigned i = 0; i < d->n_call; i++)
                        d->call[i].turn = 2;
                break;
        case STEP_KILL:
                kill_node(d, d->victim, "");
                for (unsigned i = 0; i < d->n_call; i++)
                        d->call[i].turn = 2;
                break;
        case STEP_RETURN:
                break;
        case STEP_HOME:
                kill_node(d, HOME, ", then start it again");
                break;
        case STEP_HOME_TALK:
                demo_see_fault(d, "home is back, and has forgotten which flow carries what");
                for (unsigned i = 0; i < d->n_call; i++)
                        d->call[i].turn = 2;
                break;
        case STEP_END:
                kill_node(d, d->victim, ", then BYE");
                break;
        case STEP_DONE:
                end(d);
                break;
        }
}

/* Not before the system has said that it is gone: its addresses are its successor's. */
static void start_again(struct demo *d, unsigned node)
{
        char what[64];
        if (d->node[node].child || d->node[node].wanted)
                return;
        snprintf(what, sizeof what, "%s comes back", d->node[node].name);
        if (node != HOME)
                demo_see_fault(d, what);
        (void)demo_start(d, node);
}

static void next_victim(struct demo *d)
{
        d->victim = d->victim + 1 < d->n_node ? d->victim + 1 : EDGE1;
}

/* What the step waits for has come? Then the next one. */
static void advance(struct demo *d)
{
        switch ((enum step)d->step) {
        case STEP_SERVERS:
                if (servers_listen(d))
                        enter(d, STEP_REGISTER);
                break;
        case STEP_REGISTER:
                if (phones_ready(d)) {
                        d->victim = first_victim(d);
                        enter(d, STEP_CALL);
                }
                break;
        case STEP_CALL:
                place_calls(d);
                if (calls_up(d))
                        enter(d, STEP_TALK);
                break;
        case STEP_TALK:
                talk(d);
                if (talked(d))
                        enter(d, STEP_HOME);
                break;
        case STEP_KILL:
                talk(d);
                if (talked(d))
                        enter(d, STEP_RETURN);
                break;
        case STEP_RETURN:
                start_again(d, d->victim);
                if (!servers_listen(d) || !phones_ready(d))
                        break;
                next_victim(d);
                if (d->faults <= d->edges) /* the home's restart was one, then each edge */
                        enter(d, STEP_KILL);
                else
                        enter(d, STEP_END);
                break;
        case STEP_HOME:
                start_again(d, HOME);
                if (d->node[HOME].listening)
                        enter(d, STEP_HOME_TALK);
                break;
        case STEP_HOME_TALK:
                talk(d);
                if (talked(d) && phones_ready(d))
                        enter(d, STEP_KILL);
                break;
        case STEP_END:
                say_bye(d);
                if (talked(d))
                        enter(d, STEP_DONE);
                break;
        case STEP_DONE:
                break;
        }
}

static void on_tick(struct bl_timer *t)
{
        struct demo *d = BL_CONTAINER(t, struct demo, tick);
        static const char *const waits[] = {
                "for the servers to listen",      "for both phones to have their flows",
                "for all calls to be up",         "for the re-INVITEs' answers",
                "for the answers after the kill", "for the edge and the phones' flows to be back",
                "for the home to listen again",   "for the answers after the home's restart",
                "for the BYEs' answers",          ""};
        if (!d->failed && d->env->now > d->step_deadline)
                demo_fail(d, "waited in vain %s; logs are in %s", waits[d->step], d->dir);
        if (d->failed) {
                end(d);
                return;
        }
        advance(d);
        if (!d->finished)
                env_arm_in(d->env, t, BL_MS(2));
}

void demo_story_start(struct demo *d)
{
        d->tick.fire = on_tick;
        d->started_at = d->env->now;
        enter(d, STEP_SERVERS);
        env_arm_in(d->env, &d->tick, 0);
}

/* --- what the phones say --- */

static struct bl_str field(json_t *o, const char *key)
{
        return bl_str_z(json_string_value(json_object_get(o, key)));
}

static struct call *call_of(struct demo *d, json_t *o, unsigned phone, bool make)
{
        struct bl_str id = field(o, "call_id");
        struct call *c = id.n ? demo_call_by_id(d, id) : NULL;
        if (!c && make && id.n && d->n_call < DEMO_CALLS) {
                c = &d->call[d->n_call++];
                snprintf(c->call_id, sizeof c->call_id, "%.*s", BL_STR_ARG(id));
        }
        json_t *n = json_object_get(o, "call");
        if (c && n)
                c->number[phone] = (unsigned)json_integer_value(n);
        return c;
}

/* sip:alice+INSTANCE+e1+e3+MAC@…: the first node. Sealed tokens do not say. */
static void take_primary(struct node *n, struct bl_str edge)
{
        struct bl_str rest = edge, part, after;
        for (unsigned i = 0; i < 3; i++) {
                if (!bl_str_cut(rest, '+', &part, &after))
                        return;
                rest = after;
                if (i == 1) {
                        if (bl_str_cut(rest, '+', &part, &after))
                                snprintf(n->primary, sizeof n->primary, "%.*s", BL_STR_ARG(part));
                        return;
                }
        }
}

static void on_answered(struct demo *d, unsigned phone, json_t *o)
{
        struct call *c = call_of(d, o, phone, false);
        enum bl_method m = bl_method_from(field(o, "method"));
        unsigned status = (unsigned)json_integer_value(json_object_get(o, "status"));
        if (!c)
                return;
        if (m == BL_M_INVITE && !c->up[phone]) {
                c->up[phone] = status < 300;
                c->failed = status >= 300;
                if (c->failed)
                        demo_fail(d, "%s: a call was answered %u", d->node[phone].name, status);
                return;
        }
        c->busy = false;
        struct request *r = demo_request(d, field(o, "call_id"),
                                         (uint32_t)json_integer_value(json_object_get(o, "cseq")), m, phone, true);
        for (struct request *q = d->first; q && json_object_get(o, "local");
             q = q->next) /* no response to take CSeq from: the one without answer */
                if (q->from == phone && q->method == m && !q->answered && strcmp(q->call_id, c->call_id) == 0)
                        r = q;
        if (!r)
                return;
        r->answered = true;
        r->status = status;
        if (status >= 300)
                printf("  %s: %.*s answered %u\n", d->node[phone].name, BL_STR_ARG(bl_method_name(m)), status);
}

static void on_request(struct demo *d, unsigned phone, json_t *o)
{
        struct call *c = call_of(d, o, phone, false);
        enum bl_method m = bl_method_from(field(o, "method"));
        if (!c)
                return;
        struct request *r =
                demo_request(d, field(o, "call_id"), (uint32_t)json_integer_value(json_object_get(o, "cseq")), m,
                             phone == ALICE ? BOB : ALICE, true);
        if (!r)
                return;
        if (r->logged)
                demo_fail(d, "%s: its application was given CSeq %u of %s twice", d->node[phone].name, r->cseq,
                          r->call_id);
        r->logged = true;
        r->delivered_at = d->env->now;
}

void demo_phone_line(void *arg, struct bl_child *child, struct bl_str line)
{
        (void)child;
        struct node *n = arg;
        struct demo *d = n->demo;
        unsigned phone = (unsigned)(n - d->node);
        json_t *o = json_loadb(line.p, line.n, 0, NULL);
        struct bl_str ev = o ? field(o, "event") : (struct bl_str){NULL, 0};
        if (bl_str_eq(ev, BL_STR("registered"))) {
                if (json_integer_value(json_object_get(o, "reg_id")) == 1)
                        take_primary(n, field(o, "edge"));
        } else if (bl_str_eq(ev, BL_STR("calling"))) {
                struct call *c = call_of(d, o, phone, true);
                if (c)
                        c->caller = (uint8_t)phone;
        } else if (bl_str_eq(ev, BL_STR("invited")))
                (void)call_of(d, o, phone, true);
        else if (bl_str_eq(ev, BL_STR("acked"))) {
                struct call *c = call_of(d, o, phone, false);
                if (c)
                        c->up[phone] = true;
        } else if (bl_str_eq(ev, BL_STR("answered")))
                on_answered(d, phone, o);
        else if (bl_str_eq(ev, BL_STR("request")))
                on_request(d, phone, o);
        else if (bl_str_eq(ev, BL_STR("error")))
                demo_fail(d, "%s: %.*s: %.*s", n->name, BL_STR_ARG(field(o, "command")),
                          BL_STR_ARG(field(o, "reason")));
        json_decref(o);
}

void demo_node_exited(void *arg, struct bl_child *c, int status, int signum)
{
        struct node *n = arg;
        (void)c;
        n->child = NULL;
        n->listening = false;
        if (n->demo->finished)
                stop_when_alone(n->demo);
        else if (n->wanted)
                demo_fail(n->demo, "%s ended by itself (exit %d, signal %d); its last words are in %s", n->name, status,
                          signum, n->log_file);
}
