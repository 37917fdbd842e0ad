/* The endpoint: options, the loop in both its forms, jobs of other threads, timers, the table. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/internal.h"

#define TEXT(x) TEXT_OF(x)
#define TEXT_OF(x) #x

static_assert((int)BELAY_EINVAL == (int)BL_EINVAL && (int)BELAY_EBUSY == (int)BL_EFULL &&
                      (int)BELAY_EGONE == (int)BL_EGONE && (int)BELAY_ELIMIT == (int)BL_ELIMIT &&
                      (int)BELAY_ENOMEM == (int)BL_ENOMEM,
              "the public numbers are ours");

const char *belay_version(void)
{
        return TEXT(BELAY_VERSION_MAJOR) "." TEXT(BELAY_VERSION_MINOR) "." TEXT(BELAY_VERSION_PATCH);
}

const char *belay_strerror(int error)
{
        return bl_err_text(error);
}

int lib_take(void *ret, size_t size, const void *from, size_t least)
{
        size_t n;
        memcpy(&n, from, sizeof n);
        if (n < least)
                return BL_EINVAL;
        memset(ret, 0, size);
        memcpy(ret, from, n < size ? n : size);
        return 0;
}

void lib_enter(struct belay *b)
{
        bl_world_enter(b->env);
}

/* ---- options ---- */

static void init(void *o, size_t size)
{
        memset(o, 0, size);
        memcpy(o, &size, sizeof size);
}

void belay_options_init(struct belay_options *o, size_t size)
{
        init(o, size);
}

void belay_account_options_init(struct belay_account_options *o, size_t size)
{
        init(o, size);
}

static int wrong(struct bl_sb *err, const char *what, const char *value, const char *instead)
{
        bl_sb_fmt(err, "%s: \"%.200s\" is not %s", what, value ? value : "", instead);
        return BL_EINVAL;
}

/* HOST=udp:192.0.2.1:5060 */
static int take_map(struct belay *b, const struct belay_options *o, struct bl_sb *err)
{
        size_t room = 0, at = 0;
        for (size_t i = 0; i < o->n_map; i++)
                room += strlen(o->map[i]);
        b->map = calloc(o->n_map + 1, sizeof *b->map);
        b->text = malloc(room + 1);
        if (!b->map || !b->text)
                return BL_ENOMEM;
        for (size_t i = 0; i < o->n_map; i++) {
                struct bl_static_route *m = &b->map[i];
                struct bl_str host, rest, tp, addr;
                if (!bl_str_cut(bl_str_z(o->map[i]), '=', &host, &rest) || host.n == 0 ||
                    !bl_str_cut(rest, ':', &tp, &addr) || bl_tp_from(tp, &m->tp) < 0 ||
                    bl_addr_parse_port(addr, bl_tp_default_port(m->tp), &m->addr) < 0)
                        return wrong(err, "map", o->map[i],
                                     "HOST=TRANSPORT:ADDRESS:PORT; write e.g. edge.example.com=udp:192.0.2.1:5060");
                if (!bl_world_speaks(m->tp))
                        return wrong(err, "map", o->map[i], "a transport that this library speaks");
                memcpy(b->text + at, host.p, host.n);
                m->host = bl_str_make(b->text + at, host.n);
                at += host.n;
        }
        b->conf.hop.map = b->map;
        b->conf.hop.n_map = (unsigned)o->n_map;
        return 0;
}

enum { SERVERS = 16 };

static int take_transport(struct belay *b, const struct belay_options *o, struct bl_sb *err)
{
        if (!o->transport)
                return 0;
        if (bl_tp_from(bl_str_z(o->transport), &b->conf.hop.transport) < 0 || !bl_world_speaks(b->conf.hop.transport)) {
                char text[96];
                struct bl_sb need = BL_SB(text);
                bl_sb_addz(&need, "one that this library speaks: ");
                bl_world_put_spoken(&need);
                bl_sb_addc(&need, '\0');
                return wrong(err, "transport", o->transport, text);
        }
        b->conf.hop.has_transport = true;
        return 0;
}

/* Which transports DNS and URIs will ask for nobody knows yet. So the system's list of issuers is read even if nothing
 * shows that it will be needed; then it is no error when there is none. */
static int load_creds(const struct belay *b, const struct belay_options *o, struct bl_sb *err,
                      struct bl_creds **ret_creds)
{
        struct bl_creds_pair pair = {bl_str_z(o->tls_cert), bl_str_z(o->tls_key)};
        struct bl_creds_conf conf = {.pairs = &pair,
                                     .n_pairs = o->tls_cert ? 1 : 0,
                                     .ca = o->tls_ca ? bl_str_z(o->tls_ca) : BL_STR("system")};
        bool needed = o->tls_ca || o->tls_cert || (b->conf.hop.has_transport && bl_tp_is_secure(b->conf.hop.transport));
        for (unsigned i = 0; i < b->conf.hop.n_map; i++)
                needed = needed || bl_tp_is_secure(b->map[i].tp);
        if (o->tls_key && !o->tls_cert)
                return wrong(err, "tls_key", o->tls_key, "enough: name its certificate too");
        size_t before = err->n;
        int rc = bl_creds_new(&conf, err, ret_creds);
        if (rc < 0 && !needed) {
                err->n = before;
                rc = 0;
        }
        return rc;
}

static int make_world(struct belay *b, const struct belay_options *o, struct bl_sb *err)
{
        struct bl_addr dns[SERVERS], local = {0};
        if (o->n_dns > SERVERS)
                return wrong(err, "dns", o->dns[SERVERS], "needed: 16 name servers are enough");
        for (size_t i = 0; i < o->n_dns; i++)
                if (bl_addr_parse_port(bl_str_z(o->dns[i]), 53, &dns[i]) < 0)
                        return wrong(err, "dns", o->dns[i], "a name server's address; write ADDRESS or ADDRESS:PORT");
        if (o->local_address && bl_addr_parse(bl_str_z(o->local_address), &local) < 0)
                return wrong(err, "local_address", o->local_address, "an IPv4 or IPv6 address");
        struct bl_creds *creds = NULL;
        int rc = load_creds(b, o, err, &creds);
        if (rc < 0)
                return rc;
        struct bl_world_conf conf = {.creds = creds,
                                     .dns = dns,
                                     .n_dns = (unsigned)o->n_dns,
                                     .source = local,
                                     .log_silent = o->log_level == BELAY_LOG_NONE,
                                     .node = BL_STR("ua")};
        if (o->log_level != BELAY_LOG_NONE)
                conf.log_level = (enum bl_level)(o->log_level - BELAY_LOG_ERROR);
        rc = bl_world_new(&conf, err, &b->world);
        bl_creds_unref(creds);
        return rc;
}

static int make(struct belay *b, const struct belay_options *o, struct bl_sb *err)
{
        int rc = take_map(b, o, err);
        if (rc == 0)
                rc = take_transport(b, o, err);
        if (rc == 0)
                rc = make_world(b, o, err);
        if (rc < 0)
                return rc;
        b->env = bl_world_env(b->world, 0);
        b->conf.hop.dns = true;
        b->conf.hop.may_open = true;
        b->conf.hop.ping_every_ms = UINT32_MAX; /* keep-alives follow Flow-Timer */
        b->stack = bl_ua_stack_new(b->env, &b->conf);
        return b->stack ? 0 : BL_ENOMEM;
}

static void end_text(struct bl_sb *err, int rc)
{
        if (err->cap == 0)
                return;
        err->cap--; /* kept for the NUL */
        if (rc < 0 && err->n == 0)
                bl_sb_addz(err, bl_err_text(rc));
        err->p[err->n < err->cap ? err->n : err->cap] = '\0';
}

static void take_jobs(struct bl_post *p, struct env *env);

int belay_new(const struct belay_options *o, char *err, size_t err_size, struct belay **ret_belay)
{
        struct belay_options opt = {.size = sizeof opt};
        struct bl_sb text = {err, 0, err_size ? err_size - 1 : 0, false};
        struct belay *b = calloc(1, sizeof *b);
        int rc = b ? 0 : BL_ENOMEM;
        if (rc == 0 && o && (rc = lib_take(&opt, sizeof opt, o, offsetof(struct belay_options, log_level))) < 0)
                bl_sb_addz(&text, "the options have no size: belay_options_init first");
        if (rc == 0) {
                bl_list_init(&b->accounts);
                bl_list_init(&b->timers);
                b->wake.run = take_jobs;
                rc = make(b, &opt, &text);
        }
        text.cap = err_size;
        end_text(&text, rc);
        if (rc < 0)
                belay_free(b);
        else
                *ret_belay = b;
        return rc;
}

void belay_free(struct belay *b)
{
        if (!b)
                return;
        while (b->accounts.next && !bl_list_empty(&b->accounts))
                belay_account_free(BL_CONTAINER(b->accounts.next, struct belay_account, link));
        while (b->timers.next && !bl_list_empty(&b->timers))
                belay_timer_stop(BL_CONTAINER(b->timers.next, struct belay_timer, link));
        bl_ua_stack_free(b->stack);
        bl_world_free(b->world);
        for (struct job *j = atomic_exchange(&b->jobs, NULL); j;) {
                struct job *next = j->next;
                free(j);
                j = next;
        }
        free(b->map);
        free(b->text);
        free(b);
}

/* ---- the loop ---- */

int belay_run(struct belay *b)
{
        return bl_world_run(b->world);
}

void belay_stop(struct belay *b, unsigned drain_ms)
{
        bl_world_stop(b->world, drain_ms);
}

int belay_fd(const struct belay *b)
{
        return bl_world_fd(b->world);
}

int belay_timeout(const struct belay *b)
{
        return bl_world_wait_ms(b->world);
}

int belay_step(struct belay *b, int timeout_ms)
{
        return bl_world_step(b->world, timeout_ms);
}

/* ---- jobs ---- */

static void take_jobs(struct bl_post *p, struct env *env)
{
        struct belay *b = BL_CONTAINER(p, struct belay, wake);
        struct job *in_order = NULL;
        (void)env;
        atomic_store(&b->woken, false); /* before the look: who posts from here on wakes us again */
        for (struct job *j = atomic_exchange(&b->jobs, NULL); j;) {
                struct job *next = j->next;
                j->next = in_order;
                in_order = j;
                j = next;
        }
        while (in_order) {
                struct job *j = in_order;
                in_order = j->next;
                j->fn(b, j->arg);
                free(j);
        }
}

int belay_post(struct belay *b, void (*fn)(struct belay *b, void *arg), void *arg)
{
        struct job *j = malloc(sizeof *j);
        if (!j)
                return BL_ENOMEM;
        *j = (struct job){.fn = fn, .arg = arg};
        j->next = atomic_load(&b->jobs);
        while (!atomic_compare_exchange_weak(&b->jobs, &j->next, j))
                ;
        if (!atomic_exchange(&b->woken, true))
                b->env->ops->post(b->env, 0, &b->wake);
        return 0;
}

/* ---- timers ---- */

static void timer_fire(struct bl_timer *t)
{
        struct belay_timer *own = BL_CONTAINER(t, struct belay_timer, timer);
        struct belay *b = own->belay;
        void (*fn)(struct belay * b, void *arg) = own->fn;
        void *arg = own->arg;
        belay_timer_stop(own);
        fn(b, arg);
}

int belay_timer_start(struct belay *b, unsigned ms, void (*fn)(struct belay *b, void *arg), void *arg,
                      struct belay_timer **ret_timer)
{
        struct belay_timer *t = bl_pool_zalloc(b->env->pool, sizeof *t);
        if (!t)
                return BL_ENOMEM;
        lib_enter(b);
        t->belay = b;
        t->fn = fn;
        t->arg = arg;
        t->timer.fire = timer_fire;
        bl_list_push_back(&b->timers, &t->link);
        env_arm_in(b->env, &t->timer, BL_MS((uint64_t)ms));
        if (ret_timer)
                *ret_timer = t;
        return 0;
}

void belay_timer_stop(struct belay_timer *t)
{
        if (!t)
                return;
        env_disarm(t->belay->env, &t->timer);
        bl_list_remove(&t->link);
        bl_pool_give(t->belay->env->pool, t, sizeof *t);
}

/* ---- the table ---- */

void belay_table(struct belay *b, void (*fn)(void *ctx, const struct belay_binding *row), void *ctx)
{
        static const char *const kinds[] = {"path", "dialog", "domain", "cert"};
        struct bl_sticky_row rows[16];
        uint64_t cursor = 0;
        unsigned n;
        struct bl_sticky *table = bl_hops_sticky(bl_ua_stack_hops(b->stack));
        while ((n = bl_sticky_rows(table, &cursor, rows, BL_ARRAY_LEN(rows))) > 0)
                for (unsigned i = 0; i < n; i++) {
                        char uri[sizeof rows[i].uri + 1], remote[BL_ADDR_TEXT + 1];
                        struct bl_sb a = {remote, 0, sizeof remote - 1, false};
                        bl_addr_put(&a, &rows[i].remote);
                        remote[a.n] = '\0';
                        memcpy(uri, rows[i].uri, rows[i].uri_len);
                        uri[rows[i].uri_len] = '\0';
                        struct belay_binding row = {.uri = uri,
                                                    .kind = kinds[rows[i].kind & 3],
                                                    .transport = bl_tp_name(rows[i].tp).p,
                                                    .remote = remote,
                                                    .flow = rows[i].flow,
                                                    .up = !rows[i].down};
                        fn(ctx, &row);
                }
}
