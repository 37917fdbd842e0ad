/* The life of a world and of its workers: start, turns, threads, stop. */
#include "io/world.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "io/worker.h"

enum { CLOSE_ROUNDS = 1000, LEFTOVER_POSTS = 10000 };

/* ---- clock, random octets, log, posts ---- */

static bl_us now_us(void)
{
        return uv_hrtime() / 1000;
}

void bl_worker_enter(struct worker *w)
{
        struct timespec ts;
        if (w->in_turn)
                return;
        w->in_turn = true;
        w->turns++;
        w->env.now = now_us();
        clock_gettime(CLOCK_REALTIME_COARSE, &ts);
        w->env.wall = w->log.wall = ts.tv_sec;
}

static void fill_random(void *out, size_t n)
{
        uint8_t *p = out;
        while (n) {
                ssize_t got = getrandom(p, n, 0);
                if (got < 0 && errno != EINTR)
                        abort(); /* no kernel that we run on does this; guessable tokens would be worse than an end */
                if (got > 0) {
                        p += got;
                        n -= (size_t)got;
                }
        }
}

void bl_world_random(struct env *env, void *out, size_t n)
{
        struct worker *w = bl_worker_of(env);
        uint8_t *p = out;
        if (n > sizeof(w->random)) {
                fill_random(out, n);
                return;
        }
        if (n > w->random_left) {
                fill_random(w->random, sizeof(w->random));
                w->random_left = sizeof(w->random);
        }
        w->random_left -= n;
        for (size_t i = 0; i < n; i++) { /* octets given out are kept nowhere */
                p[i] = w->random[w->random_left + i];
                w->random[w->random_left + i] = 0;
        }
}

/* One write per line, so that lines of several workers do not mix. */
static void log_sink(struct bl_log *log, enum bl_level level, struct bl_str line)
{
        char text[4096];
        (void)log;
        (void)level;
        if (line.n > sizeof(text) - 1)
                line.n = sizeof(text) - 1;
        memcpy(text, line.p, line.n);
        text[line.n++] = '\n';
        for (size_t done = 0; done < line.n;) {
                ssize_t n = write(STDERR_FILENO, text + done, line.n - done);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return; /* nobody to tell */
                done += (size_t)n;
        }
}

void bl_world_post(struct env *from, unsigned worker, struct bl_post *p)
{
        struct worker *w = &bl_worker_of(from)->world->workers[worker];
        struct bl_post *head = atomic_load_explicit(&w->posts, memory_order_relaxed);
        do {
                p->_next = head;
        } while (!atomic_compare_exchange_weak_explicit(&w->posts, &head, p, memory_order_release,
                                                        memory_order_relaxed));
        if (!head) /* who posts behind another finds the receiver woken */
                uv_async_send(&w->wake);
}

/* All that were posted, in the order they were. Returns how many. */
static unsigned run_posts(struct worker *w)
{
        struct bl_post *p = atomic_exchange_explicit(&w->posts, NULL, memory_order_acquire), *in_order = NULL;
        unsigned n = 0;
        while (p) {
                struct bl_post *next = p->_next;
                p->_next = in_order;
                in_order = p;
                p = next;
        }
        while (in_order) {
                struct bl_post *next = in_order->_next;
                in_order->run(in_order, &w->env);
                in_order = next;
                n++;
        }
        return n;
}

/* ---- turns ---- */

static void on_timer(uv_timer_t *h)
{
        struct worker *w = h->data;
        w->timer_at = UINT64_MAX;
        bl_worker_enter(w);
        bl_wheel_advance(w->wheel, w->env.now);
}

static void on_again(uv_idle_t *h)
{
        (void)h; /* its being there keeps the loop from waiting */
}

/* Wakes the loop no later than the first timer. One that was set for earlier stays: it costs one turn in vain, moving
 * it on at every turn would cost more. */
static void set_timer(struct worker *w)
{
        bl_us next = bl_wheel_next(w->wheel);
        if (next >= w->timer_at)
                return;
        bl_us now = now_us();
        uv_timer_start(&w->timer, on_timer, next <= now ? 0 : (next - now + 999) / 1000, 0);
        w->timer_at = next;
}

bool bl_worker_pending(const struct worker *w)
{
        return !bl_list_empty(&w->deferred) || bl_dns_pending(w);
}

static void begin_stop(struct worker *w, uint32_t drain_ms)
{
        w->stopping = true;
        bl_worker_enter(w);
        w->stop_at = w->env.now + BL_MS(drain_ms);
        bl_listen_stop(w);
        bl_wheel_arm(w->wheel, &w->stop_timer, w->stop_at);
}

static void stop_time(struct bl_timer *t)
{
        (void)t; /* on_prepare looks at the clock */
}

void bl_worker_end_turn(struct worker *w)
{
        uint32_t stop = atomic_load_explicit(&w->world->stop_drain_ms, memory_order_relaxed);
        if (stop && !w->stopping)
                begin_stop(w, stop - 1);
        for (int i = 0; i < DEFER_ROUNDS; i++) {
                if (bl_worker_pending(w))
                        bl_worker_enter(w);
                if (!w->in_turn)
                        break;
                bl_dns_run_later(w);
                bl_handle_run_later(w);
                w->env.ev->turn(&w->env);
                w->in_turn = false;
        }
        bl_transport_flush(w);
        bl_sock_reap(w);
        if (bl_worker_pending(w)) /* the flush found flows dead, or the rounds were not enough */
                uv_idle_start(&w->again, on_again);
        else
                uv_idle_stop(&w->again);
        set_timer(w);
        if (w->stopping && (w->stream_queued == 0 || now_us() >= w->stop_at)) {
                w->stopped = true;
                uv_stop(&w->loop);
        }
}

/* The loop is about to wait. */
static void on_prepare(uv_prepare_t *h)
{
        bl_worker_end_turn(h->data);
}

static void on_wake(uv_async_t *h)
{
        struct worker *w = h->data;
        bl_worker_enter(w);
        run_posts(w);
}

struct uv_loop_s *bl_world_loop(struct bl_world *world, unsigned worker)
{
        return &world->workers[worker].loop;
}

void bl_world_enter(struct env *env)
{
        bl_worker_enter(bl_worker_of(env));
}

/* ---- building ---- */

static void make_counters(struct worker *w)
{
        struct bl_stats *s = w->env.stats;
        w->recv_total = bl_stats_counter(s, "belay_io_received_total", NULL, NULL);
        w->sent_total = bl_stats_counter(s, "belay_io_sent_total", NULL, NULL);
        w->udp_lost = bl_stats_counter(s, "belay_io_datagrams_lost_total", NULL, NULL);
        w->icmp_total = bl_stats_counter(s, "belay_io_icmp_errors_total", NULL, NULL);
        w->accept_refused = bl_stats_counter(s, "belay_io_accepts_refused_total", NULL, NULL);
        w->flows_gauge = bl_stats_counter(s, "belay_io_flows", NULL, NULL);
        w->handshakes_full = bl_stats_counter(s, "belay_io_tls_handshakes_total", "result", "full");
        w->handshakes_resumed = bl_stats_counter(s, "belay_io_tls_handshakes_total", "result", "resumed");
        w->handshakes_failed = bl_stats_counter(s, "belay_io_tls_handshakes_total", "result", "failed");
        w->stuck_total = bl_stats_counter(s, "belay_io_streams_stuck_total", NULL, NULL);
}

static int loop_init(struct worker *w)
{
        int rc = uv_loop_init(&w->loop);
        if (rc < 0)
                return rc;
        w->loop_open = true;
        if ((rc = uv_async_init(&w->loop, &w->wake, on_wake)) < 0)
                return rc;
        uv_prepare_init(&w->loop, &w->prepare);
        uv_timer_init(&w->loop, &w->timer);
        uv_idle_init(&w->loop, &w->again);
        w->prepare.data = w->timer.data = w->wake.data = w->again.data = w;
        w->handles_open = true;
        uv_prepare_start(&w->prepare, on_prepare);
        return bl_sock_set_open(w);
}

static int worker_init(struct bl_world *world, unsigned i, uint64_t hash_seed)
{
        struct worker *w = &world->workers[i];
        const struct bl_world_conf *conf = &world->conf;
        w->world = world;
        w->free_slot = NO_SLOT;
        w->timer_at = UINT64_MAX;
        w->stop_timer.fire = stop_time;
        bl_list_init(&w->deferred);
        bl_list_init(&w->closed);
        w->streams_fd = -1;
        w->log.level = conf->log_level;
        w->log.json = conf->log_json;
        w->log.node = conf->node;
        w->log.sink = conf->log_silent ? NULL : log_sink;
        w->env = (struct env){.ops = &bl_handle_ops,
                              .world = w,
                              .worker = (uint16_t)i,
                              .workers = (uint16_t)conf->workers,
                              .hash_seed = hash_seed,
                              .log = &w->log,
                              .pool = bl_pool_new(conf->pool_limit),
                              .stats = bl_stats_new()};
        bl_worker_enter(w);
        w->in_turn = false;
        w->wheel = bl_wheel_new(w->env.now);
        w->read_buf = malloc(STREAM_READ);
        w->listeners = calloc(conf->n_listeners + 1, sizeof(struct sock *));
        if (!w->env.pool || !w->env.stats || !w->wheel || !w->read_buf || !w->listeners)
                return BL_ENOMEM;
        make_counters(w);
        if (bl_transport_init(w) < 0)
                return BL_ENOMEM;
        return loop_init(w);
}

static int copy_conf(struct bl_world *w, const struct bl_world_conf *conf)
{
        w->conf = *conf;
        w->listeners = calloc(conf->n_listeners + 1, sizeof(*w->listeners));
        w->dns = calloc(conf->n_dns + 1, sizeof(*w->dns));
        if (!w->listeners || !w->dns)
                return BL_ENOMEM;
        for (unsigned i = 0; i < conf->n_listeners; i++)
                w->listeners[i] = conf->listeners[i];
        for (unsigned i = 0; i < conf->n_dns; i++)
                w->dns[i] = conf->dns[i];
        w->conf.listeners = w->listeners;
        w->conf.dns = w->dns;
        if (!w->conf.workers)
                w->conf.workers = 1;
        if (!w->conf.dns_timeout_ms)
                w->conf.dns_timeout_ms = 1500;
        if (!w->conf.connect_timeout_ms)
                w->conf.connect_timeout_ms = 10000;
        if (!w->conf.handshake_timeout_ms)
                w->conf.handshake_timeout_ms = 10000;
        if (!w->conf.stuck_timeout_ms)
                w->conf.stuck_timeout_ms = 30000;
        if (conf->creds)
                w->creds = bl_creds_ref(conf->creds);
        if (!w->conf.max_flows)
                w->conf.max_flows = 1000000;
        return 0;
}

static void process_wide(void)
{
        struct rlimit files;
        signal(SIGPIPE, SIG_IGN);
        if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
                files.rlim_cur = files.rlim_max;
                (void)setrlimit(RLIMIT_NOFILE, &files);
        }
}

static int fill(struct bl_world *w, const struct bl_world_conf *conf, struct bl_sb *err)
{
        uint64_t seed;
        int rc = copy_conf(w, conf);
        fill_random(&seed, sizeof(seed));
        if (rc == 0) {
                w->workers = calloc(w->conf.workers, sizeof(*w->workers));
                rc = w->workers ? 0 : BL_ENOMEM;
        }
        for (unsigned i = 0; rc == 0 && i < w->conf.workers; i++)
                rc = worker_init(w, i, seed);
        if (rc < 0) {
                bl_sb_fmt(err, "cannot start a worker: %s", bl_err_text(rc));
                return rc;
        }
        return bl_listen_bind(w, err);
}

int bl_world_new(const struct bl_world_conf *conf, struct bl_sb *err, struct bl_world **ret_world)
{
        if (conf->workers > BL_WORLD_WORKERS_MAX || conf->n_listeners >= BL_LISTENER_NONE || conf->n_dns > 64) {
                bl_sb_fmt(err, "at most %d workers and 64 name servers are possible", BL_WORLD_WORKERS_MAX);
                return BL_ELIMIT;
        }
        struct bl_world *w = calloc(1, sizeof(*w));
        if (!w) {
                bl_sb_addz(err, "cannot start: no memory");
                return BL_ENOMEM;
        }
        if (uv_mutex_init(&w->creds_lock) != 0) {
                free(w);
                bl_sb_addz(err, "cannot start: no memory");
                return BL_ENOMEM;
        }
        process_wide();
        int rc = fill(w, conf, err);
        if (rc < 0)
                bl_world_free(w);
        else
                *ret_world = w;
        return rc;
}

static void close_handles(struct worker *w)
{
        uv_close((uv_handle_t *)&w->prepare, NULL);
        uv_close((uv_handle_t *)&w->timer, NULL);
        uv_close((uv_handle_t *)&w->wake, NULL);
        uv_close((uv_handle_t *)&w->again, NULL);
}

static void worker_fini(struct worker *w)
{
        if (!w->world)
                return;
        bl_dns_fini(w);
        if (w->handles_open) {
                while (w->n_out) /* refused by a stopped world: let go */
                        bl_buf_unref(w->env.pool, w->out[--w->n_out].buf);
                bl_handle_fini(w);
                bl_sock_close_all(w);
                bl_sock_reap(w);
                bl_sock_set_close(w);
                close_handles(w);
        }
        if (w->loop_open) {
                for (int i = 0; i < CLOSE_ROUNDS && uv_loop_close(&w->loop) == UV_EBUSY; i++)
                        uv_run(&w->loop, UV_RUN_NOWAIT);
        }
        bl_transport_fini(w);
        free(w->read_buf);
        free(w->listeners);
        bl_wheel_free(w->wheel);
        bl_stats_free(w->env.stats);
        bl_pool_free(w->env.pool);
}

static void signal_closed(uv_handle_t *h)
{
        free(h->data);
}

void bl_world_free(struct bl_world *w)
{
        if (!w)
                return;
        while (w->signals) {
                struct signal_watch *s = w->signals;
                w->signals = s->next;
                uv_close((uv_handle_t *)&s->handle, signal_closed);
        }
        for (unsigned i = 0; w->workers && i < w->conf.workers; i++)
                worker_fini(&w->workers[i]);
        bl_creds_unref(w->creds);
        uv_mutex_destroy(&w->creds_lock);
        free(w->workers);
        free(w->listeners);
        free(w->dns);
        free(w);
}

unsigned bl_world_workers(const struct bl_world *w)
{
        return w->conf.workers;
}

struct env *bl_world_env(struct bl_world *w, unsigned worker)
{
        return &w->workers[worker].env;
}

struct bl_addr bl_world_listener_addr(const struct bl_world *w, unsigned listener)
{
        return w->listeners[listener].addr;
}

void bl_world_set_creds(struct bl_world *w, struct bl_creds *creds)
{
        uv_mutex_lock(&w->creds_lock);
        struct bl_creds *old = w->creds;
        w->creds = bl_creds_ref(creds);
        w->creds_version++;
        uv_mutex_unlock(&w->creds_lock);
        bl_creds_unref(old);
}

/* ---- running ---- */

void bl_worker_begin(struct worker *w)
{
        bl_worker_enter(w); /* what the core asked for before is told in the first turn */
        if (!w->begun)
                bl_listen_start(w);
        w->begun = true;
}

static void run_worker(void *arg)
{
        struct worker *w = arg;
        bl_worker_begin(w);
        uv_run(&w->loop, UV_RUN_DEFAULT);
}

int bl_world_run(struct bl_world *w)
{
        int rc = 0;
        unsigned n = 1;
        for (; rc == 0 && n < w->conf.workers; n++)
                rc = uv_thread_create(&w->thread[n], run_worker, &w->workers[n]);
        if (rc < 0) {
                n--;
                bl_world_stop(w, 0);
        } else {
                run_worker(&w->workers[0]);
        }
        for (unsigned i = 1; i < n; i++)
                uv_thread_join(&w->thread[i]);
        /* Posts that came too late still have their owners' memory. */
        for (unsigned ran = 1, all = 0; ran && all < LEFTOVER_POSTS; all += ran) {
                ran = 0;
                for (unsigned i = 0; i < w->conf.workers; i++)
                        ran += run_posts(&w->workers[i]);
        }
        return rc;
}

void bl_world_stop(struct bl_world *w, uint32_t drain_ms)
{
        uint32_t none = 0;
        atomic_compare_exchange_strong(&w->stop_drain_ms, &none, drain_ms + 1);
        for (unsigned i = 0; i < w->conf.workers; i++)
                uv_async_send(&w->workers[i].wake);
}

static void on_signal(uv_signal_t *h, int signum)
{
        struct signal_watch *s = h->data;
        bl_worker_enter(&s->world->workers[0]);
        s->fn(s->world, signum, s->arg);
}

int bl_world_on_signal(struct bl_world *w, int signum, void (*fn)(struct bl_world *w, int signum, void *arg), void *arg)
{
        struct signal_watch *s = calloc(1, sizeof(*s));
        if (!s)
                return BL_ENOMEM;
        *s = (struct signal_watch){.world = w, .fn = fn, .arg = arg};
        uv_signal_init(&w->workers[0].loop, &s->handle);
        s->handle.data = s;
        s->next = w->signals;
        w->signals = s;
        return uv_signal_start(&s->handle, on_signal, signum);
}
