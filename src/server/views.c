#include "server/views.h"

#include "base/json.h"
#include "base/version.h"
#include "edge/edge.h"
#include "flow/flow.h"
#include "sticky/sticky.h"

_Static_assert(sizeof(struct bl_post) + sizeof(void *) <= BL_ADMIN_SPARE, "a post fits into a job");

/* ---- from admin's threads to a worker ---- */

struct crossing { /* in the job's spare octets */
        struct bl_post post;
        struct bl_admin_job *job;
};

static void arrive(struct bl_post *p, struct env *env)
{
        (void)env;
        struct bl_admin_job *job = BL_CONTAINER(p, struct crossing, post)->job;
        job->run(job);
}

static void post(void *ctx, unsigned worker, struct bl_admin_job *job)
{
        struct env *env = bl_world_env(bl_stack_world(ctx), worker);
        struct crossing *c = (struct crossing *)(void *)job->spare;
        *c = (struct crossing){.post.run = arrive, .job = job};
        env->ops->post(env, worker, &c->post);
}

static const struct bl_stats *stats(void *ctx, unsigned worker)
{
        return bl_world_env(bl_stack_world(ctx), worker)->stats;
}

struct bl_admin_part bl_views_part(struct bl_stack *s)
{
        return (struct bl_admin_part){.role = bl_stack_role_name(s),
                                      .workers = bl_world_workers(bl_stack_world(s)),
                                      .post = post,
                                      .stats = stats,
                                      .ctx = s};
}

/* ---- rows ---- */

static void put_addr(struct bl_json *j, const char *key, const struct bl_addr *a)
{
        char text[BL_ADDR_TEXT];
        struct bl_sb b = BL_SB(text);
        bl_addr_put(&b, a);
        bl_json_str(j, key, bl_sb_str(&b));
}

static void put_flow_id(struct bl_json *j, bl_flow_id id)
{
        char text[24];
        struct bl_sb b = BL_SB(text);
        bl_sb_addu(&b, bl_flow_worker(id));
        bl_sb_addc(&b, '.');
        bl_sb_addu(&b, bl_flow_slot(id));
        bl_sb_addc(&b, '.');
        bl_sb_addu(&b, bl_flow_gen(id));
        bl_json_str(j, "flow", bl_sb_str(&b));
}

static void put_links(struct bl_json *j, const struct bl_flow *f)
{
        static const char *const why[] = {[BL_LINK_CERT] = "certificate",
                                          [BL_LINK_TRUST] = "trust",
                                          [BL_LINK_MEMBER] = "member",
                                          [BL_LINK_OPENED] = "opened"};
        char text[512];
        struct bl_sb b = BL_SB(text);
        const void *cursor = NULL;
        enum bl_link_why w;
        struct bl_str domain;
        while ((domain = bl_flow_link_next(f, &cursor, &w)).n) {
                if (b.n)
                        bl_sb_addc(&b, ' ');
                bl_sb_add(&b, domain);
                bl_sb_addc(&b, ':');
                bl_sb_addz(&b, why[w]);
        }
        bl_json_str(j, "linked", bl_sb_str(&b));
}

static bool put_flow(const struct bl_stack *s, const struct bl_flow *f, bl_us now, struct bl_sb *out)
{
        static const char *const states[] = {
                [BL_FLOW_OPENING] = "opening", [BL_FLOW_UP] = "up", [BL_FLOW_DOWN] = "closing"};
        struct bl_json j = bl_json_begin(out);
        put_flow_id(&j, f->id);
        bl_json_strz(&j, "role", bl_stack_role_name(s));
        bl_json_str(&j, "transport", bl_tp_param(f->tp));
        put_addr(&j, "local", &f->local);
        put_addr(&j, "remote", &f->remote);
        bl_json_strz(&j, "state", states[f->state]);
        bl_json_strz(&j, "opened_by", f->ours ? "us" : "them");
        put_links(&j, f);
        bl_json_int(&j, "bound", f->pins);
        bl_json_int(&j, "up_s", f->up_at ? (int64_t)((now - f->up_at) / 1000000) : 0);
        bl_json_int(&j, "silent_s", f->heard_at ? (int64_t)((now - f->heard_at) / 1000000) : -1);
        return bl_json_end(&j);
}

/* Where to go on: after the flow at->a. When that is gone, after those that were up before it was. */
static const struct bl_flow *flow_after(const struct bl_flows *fs, const struct bl_cursor *at)
{
        if (!at->a)
                return bl_flows_next(fs, NULL);
        const struct bl_flow *f = bl_flow_get((struct bl_flows *)(uintptr_t)fs, at->a);
        if (f)
                return bl_flows_next(fs, f);
        f = bl_flows_next(fs, NULL);
        while (f && f->up_at <= at->b)
                f = bl_flows_next(fs, f);
        return f;
}

static bool flow_rows(void *ctx, unsigned worker, struct bl_cursor *at, struct bl_sb *out)
{
        const struct bl_flows *fs = bl_stack_flows(ctx, worker);
        bl_us now = bl_world_env(bl_stack_world(ctx), worker)->now;
        const struct bl_flow *f = flow_after(fs, at);
        for (unsigned n = 0; f && n < BL_ADMIN_ROWS; n++) {
                if (!put_flow(ctx, f, now, out))
                        return true;
                *at = (struct bl_cursor){f->id, f->up_at};
                f = bl_flows_next(fs, f);
        }
        return f != NULL;
}

static bool put_binding(const struct bl_stack *s, const struct bl_sticky_row *r, bl_us now, struct bl_sb *out)
{
        static const char *const kinds[] = {[BL_BIND_PATH] = "path",
                                            [BL_BIND_DIALOG] = "dialog",
                                            [BL_BIND_DOMAIN] = "domain",
                                            [BL_BIND_CERT] = "certificate"};
        struct bl_json j = bl_json_begin(out);
        bl_json_str(&j, "uri", bl_str_make(r->uri, r->uri_len));
        put_flow_id(&j, r->flow);
        bl_json_strz(&j, "role", bl_stack_role_name(s));
        bl_json_strz(&j, "kind", kinds[r->kind]);
        bl_json_str(&j, "transport", bl_tp_param(r->tp));
        put_addr(&j, "remote", &r->remote);
        bl_json_int(&j, "expires_s", r->expires_at > now ? (int64_t)((r->expires_at - now) / 1000000) : 0);
        bl_json_int(&j, "confirmed_s", r->confirmed_at ? (int64_t)((now - r->confirmed_at) / 1000000) : -1);
        bl_json_bool(&j, "down", r->down);
        return bl_json_end(&j);
}

static bool binding_rows(void *ctx, unsigned worker, struct bl_cursor *at, struct bl_sb *out)
{
        enum { SOME = 32 };
        struct bl_sticky_row rows[SOME];
        bl_us now = bl_world_env(bl_stack_world(ctx), worker)->now;
        for (unsigned done = 0; done < BL_ADMIN_ROWS; done += SOME) {
                uint64_t before = at->a;
                unsigned n = bl_sticky_rows(bl_stack_sticky(ctx), &at->a, rows, SOME);
                size_t mark = out->n;
                for (unsigned i = 0; i < n; i++) {
                        if (!put_binding(ctx, &rows[i], now, out)) { /* full: these again next time */
                                out->n = mark;
                                at->a = before;
                                return true;
                        }
                }
                if (n == 0)
                        return false;
        }
        return true;
}

static bool status_row(void *ctx, unsigned worker, struct bl_cursor *at, struct bl_sb *out)
{
        struct bl_stack *s = ctx;
        struct bl_sticky_stats sticky;
        struct env *env = bl_world_env(bl_stack_world(s), worker);
        struct bl_json j = bl_json_begin(out);
        (void)at;
        bl_sticky_get_stats(bl_stack_sticky(s), &sticky);
        bl_json_str(&j, "node", env->log->node);
        bl_json_strz(&j, "role", bl_stack_role_name(s));
        bl_json_strz(&j, "version", BL_VERSION);
        bl_json_int(&j, "workers", bl_world_workers(bl_stack_world(s)));
        bl_json_int(&j, "up_s", (int64_t)((env->now - bl_stack_started_at(s)) / 1000000));
        bl_json_int(&j, "flows", (int64_t)sticky.flows);
        bl_json_int(&j, "bindings", (int64_t)sticky.bindings);
        bl_json_int(&j, "binding_octets", (int64_t)sticky.octets);
        bl_json_int(&j, "evicted", (int64_t)sticky.evicted);
        (void)bl_json_end(&j);
        return false;
}

static bool drain_row(void *ctx, unsigned worker, struct bl_cursor *at, struct bl_sb *out)
{
        struct bl_edge *e = bl_stack_edge(ctx, worker);
        bl_us now = bl_world_env(bl_stack_world(ctx), worker)->now, until = now;
        (void)at;
        if (!e)
                return false;
        struct bl_json j = bl_json_begin(out);
        bl_json_int(&j, "worker", worker);
        bl_json_bool(&j, "draining", bl_edge_draining(e, &until));
        bl_json_int(&j, "deadline_s", until > now ? (int64_t)((until - now) / 1000000) : 0);
        bl_json_int(&j, "registrations", (int64_t)bl_edge_bindings(e));
        (void)bl_json_end(&j);
        return false;
}

enum { DRAIN_S = 900, DRAIN_MAX_S = 86400 };

static int drain_action(void *ctx, const char *(*arg)(void *args, const char *key), void *args, struct bl_sb *out)
{
        struct bl_stack *s = ctx;
        uint32_t seconds = DRAIN_S;
        const char *deadline = arg(args, "deadline");
        if (!bl_stack_edge(s, 0)) {
                bl_sb_addz(out, "this node is no edge: a home keeps no calls, restart it as it is");
                return BL_EINVAL;
        }
        if (deadline && (bl_str_u32(bl_str_z(deadline), &seconds) < 0 || seconds > DRAIN_MAX_S)) {
                bl_sb_fmt(out, "deadline is a number of seconds, at most %d; 0 takes the draining back", DRAIN_MAX_S);
                return BL_EINVAL;
        }
        int rc = bl_stack_drain(s, seconds * 1000);
        if (rc < 0) {
                bl_sb_addz(out, bl_err_text(rc));
                return rc;
        }
        struct bl_json j = bl_json_begin(out);
        bl_json_bool(&j, "draining", seconds > 0);
        bl_json_int(&j, "deadline_s", seconds);
        (void)bl_json_end(&j);
        return 0;
}

const struct bl_action bl_actions[] = {
        {"drain", "Sends the UAs of an edge to other edges; deadline: seconds until what is left is closed.",
         drain_action},
};
const unsigned bl_n_actions = BL_ARRAY_LEN(bl_actions);

const struct bl_view bl_views[] = {
        {"status", "The node, a row a role.", true, status_row},
        {"flows", "Connections and UDP peers: whose, opened by whom, linked to which domains.", false, flow_rows},
        {"bindings", "The stickiness table: which URI sticks to which flow, and until when.", true, binding_rows},
        {"drain", "Whether an edge drains, and the registrations that it still carries, a row a worker.", false,
         drain_row},
};
const unsigned bl_n_views = BL_ARRAY_LEN(bl_views);
