/* Machines, their processes, and a worker's turns. */
#include "sim/internal.h"

#include <stdlib.h>

enum { WALL_START = 1700000000 };

static void log_sink(struct bl_log *log, enum bl_level level, struct bl_str line)
{
        struct sim_node *n = log->sink_arg;
        if (n->sim->log_level >= (int)level)
                fprintf(stderr, "%11.6f %.*s\n", (double)(n->sim->now - BL_SEC(1000)) / 1e6, BL_STR_ARG(line));
        if (level <= BL_LOG_WARN)
                sim_note(n->sim, "%s: %.*s", n->name, BL_STR_ARG(line));
}

struct sim_node *sim_node(struct sim *s, const char *name, unsigned workers, const struct sim_node_ops *ops, void *ctx)
{
        if (s->n_nodes == s->cap_nodes) {
                s->cap_nodes = s->cap_nodes ? s->cap_nodes * 2 : 16;
                s->nodes = realloc(s->nodes, s->cap_nodes * sizeof(struct sim_node *));
                if (!s->nodes)
                        abort();
        }
        struct sim_node *n = NEW(struct sim_node);
        n->sim = s;
        n->index = s->n_nodes;
        snprintf(n->name, sizeof(n->name), "%s", name);
        n->ops = *ops;
        n->ctx = ctx;
        n->n_workers = workers;
        n->w = sim_alloc(workers * sizeof(struct worker));
        n->next_port = (uint16_t)(32768 + rng_below(&s->rng, 8192));
        s->nodes[s->n_nodes++] = n;
        char ip[32];
        unsigned i = n->index + 1;
        snprintf(ip, sizeof(ip), "10.%u.%u.%u", i >> 16 & 255, i >> 8 & 255, i & 255);
        sim_add_addr(n, ip);
        return n;
}

struct sim_node *sim_find(struct sim *s, const char *name)
{
        for (unsigned i = 0; i < s->n_nodes; i++)
                if (strcmp(s->nodes[i]->name, name) == 0)
                        return s->nodes[i];
        return NULL;
}

void sim_add_addr(struct sim_node *n, const char *ip)
{
        n->addrs = realloc(n->addrs, (n->n_addrs + 1) * sizeof(*n->addrs));
        n->hosts = realloc(n->hosts, (n->n_addrs + 1) * sizeof(struct ep *));
        if (!n->addrs || !n->hosts || bl_addr_parse(bl_str_z(ip), &n->addrs[n->n_addrs]) < 0)
                abort();
        struct ep *e = n->hosts[n->n_addrs] = NEW(struct ep);
        *e = (struct ep){.kind = EP_HOST, .proto = EP_IP, .addr = n->addrs[n->n_addrs], .node = n};
        n->n_addrs++;
        ep_add(n->sim, e);
}

struct bl_addr sim_addr(const struct sim_node *n, uint16_t port)
{
        struct bl_addr a = n->addrs[0];
        a.port = port;
        return a;
}

static uint16_t listen_at(struct sim_node *n, enum bl_tp tp, struct bl_addr at)
{
        n->listeners = realloc(n->listeners, (n->n_listeners + 1) * sizeof(struct listener *));
        if (!n->listeners)
                abort();
        struct listener *l = n->listeners[n->n_listeners] = NEW(struct listener);
        l->tp = tp;
        l->ep = (struct ep){.kind = EP_LISTENER,
                            .proto = ep_proto_of(tp),
                            .addr = at,
                            .node = n,
                            .listener = (uint16_t)n->n_listeners};
        ep_add(n->sim, &l->ep);
        return (uint16_t)n->n_listeners++;
}

uint16_t sim_listen(struct sim_node *n, enum bl_tp tp, uint16_t port)
{
        return listen_at(n, tp, sim_addr(n, port));
}

uint16_t sim_listen_at(struct sim_node *n, enum bl_tp tp, const char *ip, uint16_t port)
{
        struct bl_addr a;
        if (bl_addr_parse(bl_str_z(ip), &a) < 0)
                abort();
        a.port = port;
        return listen_at(n, tp, a);
}

void sim_behind(struct sim_node *n, struct sim_nat *nat)
{
        n->nat = nat;
        for (unsigned i = 0; i < n->n_addrs; i++)
                ep_remove(n->sim, n->hosts[i]); /* private: nobody else can name it */
        for (unsigned i = 0; i < n->n_listeners; i++)
                ep_remove(n->sim, &n->listeners[i]->ep);
}

/* --- processes --- */

void sim_start(struct sim_node *n)
{
        struct sim *s = n->sim;
        n->boots++;
        n->epoch++;
        n->state = NODE_RUNNING;
        n->want_kill = n->want_boot = false;
        n->rng = rng_next(&s->rng);
        uint64_t hash_seed = rng_next(&n->rng);
        n->log = (struct bl_log){.level = s->log_level > BL_LOG_WARN ? (enum bl_level)s->log_level : BL_LOG_WARN,
                                 .node = bl_str_z(n->name),
                                 .sink = log_sink,
                                 .sink_arg = n,
                                 .wall = WALL_START + (int64_t)(s->now / 1000000)};
        for (unsigned i = 0; i < n->n_workers; i++) {
                struct worker *w = &n->w[i];
                *w = (struct worker){.node = n, .index = i, .timer_at = UINT64_MAX};
                w->in_tail = &w->in_head;
                w->wheel = bl_wheel_new(s->now);
                w->post_last = sim_alloc(n->n_workers * sizeof(bl_us));
                w->env = (struct env){.ops = &sim_env_ops,
                                      .world = w,
                                      .now = s->now,
                                      .wall = n->log.wall,
                                      .worker = (uint16_t)i,
                                      .workers = (uint16_t)n->n_workers,
                                      .hash_seed = hash_seed,
                                      .pool = bl_pool_new(0),
                                      .log = &n->log,
                                      .stats = bl_stats_new()};
                if (!w->wheel || !w->env.pool || !w->env.stats)
                        abort();
        }
        trace_mix(s, (uint64_t)n->index << 8 | 'b');
        n->ops.boot(n, n->ctx);
        for (unsigned i = 0; i < n->n_workers; i++)
                worker_wake(&n->w[i]);
}

/* The process is gone; what it had is given back. */
static void process_fini(struct sim_node *n)
{
        if (n->ops.dead)
                n->ops.dead(n, n->ctx);
        for (unsigned i = 0; i < n->n_workers; i++) {
                struct worker *w = &n->w[i];
                for (uint32_t k = 0; k < w->n_slots; k++)
                        if (w->slot[k])
                                flow_release(w->slot[k]);
                for (struct in *in = w->in_head, *next; in; in = next) {
                        next = in->next;
                        in_drop(w, in);
                }
                bl_wheel_free(w->wheel);
                bl_pool_free(w->env.pool);
                bl_stats_free(w->env.stats);
                free(w->post_last);
                free(w->slot);
                free(w->free_slots);
                *w = (struct worker){.node = n, .index = i, .timer_at = UINT64_MAX};
        }
        bl_htab_fini(&n->accepted);
        n->accepted = (struct bl_htab){0};
        n->choked = false;
        tls_forget(n);
}

static void kill_now(struct sim_node *n, enum sim_kill how)
{
        struct sim *s = n->sim;
        sim_note(s, "%s dies%s", n->name, how == SIM_KILL_SILENT ? ", silently" : "");
        trace_mix(s, (uint64_t)n->index << 8 | 'k');
        n->want_kill = false;
        n->epoch++; /* what was under way to this process is for nobody */
        for (unsigned i = 0; i < n->n_workers; i++)
                for (uint32_t k = 0; k < n->w[i].n_slots; k++)
                        if (n->w[i].slot[k] && n->w[i].slot[k]->conn)
                                stream_kill(n->w[i].slot[k], how);
        n->state = how == SIM_KILL_SILENT ? NODE_DARK : NODE_OFF;
        process_fini(n);
}

void sim_kill(struct sim_node *n, enum sim_kill how)
{
        if (n->state == NODE_OFF && how == SIM_KILL_SILENT && n->boots)
                n->state = NODE_DARK;
        if (!sim_alive(n) || n->want_kill)
                return;
        n->kill_how = how;
        if (n->sim->running && n->sim->running->node == n)
                n->want_kill = true;
        else
                kill_now(n, how);
}

void sim_restart(struct sim_node *n)
{
        if (n->sim->running && n->sim->running->node == n) {
                sim_kill(n, SIM_KILL_RESET);
                n->want_boot = true;
                return;
        }
        sim_kill(n, SIM_KILL_RESET);
        sim_note(n->sim, "%s starts again, with nothing kept", n->name);
        sim_start(n);
}

void node_settle(struct sim_node *n)
{
        bool boot = n->want_boot;
        n->want_boot = false;
        if (n->want_kill)
                kill_now(n, n->kill_how);
        if (boot && !sim_alive(n)) {
                sim_note(n->sim, "%s starts again, with nothing kept", n->name);
                sim_start(n);
        }
}

void sim_stop(struct sim_node *n)
{
        if (n->state != NODE_RUNNING)
                return;
        sim_note(n->sim, "%s stands still", n->name);
        trace_mix(n->sim, (uint64_t)n->index << 8 | 's');
        n->state = NODE_STOPPED;
}

void sim_cont(struct sim_node *n)
{
        if (n->state != NODE_STOPPED)
                return;
        sim_note(n->sim, "%s goes on", n->name);
        trace_mix(n->sim, (uint64_t)n->index << 8 | 'c');
        n->state = NODE_RUNNING;
        for (unsigned i = 0; i < n->n_workers; i++) {
                n->w[i].waking = false;
                worker_wake(&n->w[i]);
                for (uint32_t k = 0; k < n->w[i].n_slots; k++)
                        if (n->w[i].slot[k] && n->w[i].slot[k]->conn)
                                stream_resume(n->w[i].slot[k]);
        }
}

void node_free(struct sim_node *n)
{
        tls_fini(n);
        for (unsigned i = 0; i < n->n_listeners; i++) {
                ep_remove(n->sim, &n->listeners[i]->ep);
                free(n->listeners[i]);
        }
        for (unsigned i = 0; i < n->n_addrs; i++) {
                ep_remove(n->sim, n->hosts[i]);
                free(n->hosts[i]);
        }
        free(n->listeners);
        free(n->hosts);
        free(n->addrs);
        free(n->w);
        free(n);
}

/* --- turns --- */

void worker_wake(struct worker *w)
{
        if (w->waking)
                return;
        w->waking = true;
        struct sim *s = w->node->sim;
        ev_push(s, s->now + rng_below(&s->rng, (uint64_t)s->net.wake_max_us + 1), EV_WAKE, w, w->node->epoch);
}

/* One EV_TIMER at the time the wheel wants; an earlier one that is pending is left to come. */
void worker_timer(struct worker *w)
{
        bl_us next = bl_wheel_next(w->wheel), now = w->node->sim->now;
        if (next == UINT64_MAX)
                return;
        if (next <= now)
                next = now + 1;
        if (next >= w->timer_at)
                return;
        w->timer_at = next;
        ev_push(w->node->sim, next, EV_TIMER, w, w->node->epoch);
}

static void turn_begin(struct worker *w)
{
        struct sim *s = w->node->sim;
        if (s->running) {
                fprintf(stderr, "sim: a turn of %s inside a turn of %s\n", w->node->name, s->running->node->name);
                abort();
        }
        s->running = w;
        w->env.now = s->now;
        w->env.wall = w->node->log.wall = WALL_START + (int64_t)(s->now / 1000000);
}

static void turn_end(struct worker *w)
{
        struct sim_node *n = w->node;
        do { /* up and down of what was just opened and closed belong to this turn */
                while (w->in_head) {
                        struct in *in = w->in_head;
                        w->in_head = in->next;
                        if (!w->in_head)
                                w->in_tail = &w->in_head;
                        in_run(w, in);
                }
                if (w->env.ev && w->env.ev->turn)
                        w->env.ev->turn(&w->env);
        } while (w->in_head);
        worker_timer(w);
        n->sim->running = NULL;
        node_settle(n);
}

void worker_run(struct worker *w)
{
        w->waking = false;
        if (w->node->state != NODE_RUNNING)
                return;
        turn_begin(w);
        bl_wheel_advance(w->wheel, w->node->sim->now);
        turn_end(w);
}

void sim_enter(struct env *e)
{
        turn_begin(e->world);
}

void sim_leave(struct env *e)
{
        turn_end(e->world);
}

/* --- looking at a node --- */

const char *sim_name(const struct sim_node *n)
{
        return n->name;
}
void *sim_ctx(const struct sim_node *n)
{
        return n->ctx;
}
struct sim *sim_of(const struct sim_node *n)
{
        return n->sim;
}
struct env *sim_env(struct sim_node *n, unsigned worker)
{
        return &n->w[worker].env;
}
unsigned sim_workers(const struct sim_node *n)
{
        return n->n_workers;
}
struct sim_node *sim_node_of(const struct env *e)
{
        return ((struct worker *)e->world)->node;
}
bool sim_alive(const struct sim_node *n)
{
        return n->state == NODE_RUNNING || n->state == NODE_STOPPED;
}
uint32_t sim_boots(const struct sim_node *n)
{
        return n->boots;
}
unsigned sim_flow_count(const struct sim_node *n)
{
        return n->flows;
}

void sim_set_log(struct sim *s, enum bl_level level)
{
        s->log_level = (int)level;
        for (unsigned i = 0; i < s->n_nodes; i++)
                s->nodes[i]->log.level = level > BL_LOG_WARN ? level : BL_LOG_WARN;
}

size_t sim_pool_used(const struct sim_node *n)
{
        size_t sum = 0;
        for (unsigned i = 0; i < n->n_workers && sim_alive(n); i++)
                sum += bl_pool_used(n->w[i].env.pool);
        return sum;
}

size_t sim_timer_count(const struct sim_node *n)
{
        size_t sum = 0;
        for (unsigned i = 0; i < n->n_workers && sim_alive(n); i++)
                sum += bl_wheel_count(n->w[i].wheel);
        return sum;
}

uint64_t sim_counter(const struct sim_node *n, const char *name, const char *value)
{
        uint64_t sum = 0;
        for (unsigned i = 0; i < n->n_workers && sim_alive(n); i++)
                sum += bl_stats_get(n->w[i].env.stats, name, value);
        return sum;
}
