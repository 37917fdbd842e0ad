/* Requests by real sockets; the "workers" are threads of this test. */
#include "admin/admin.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/json.h"
#include "unit/unit.h"

enum { WORKERS = 2, MANY = 7000 };

struct worker { /* runs jobs in order; stuck: takes them and does nothing */
        pthread_t thread;
        pthread_mutex_t lock;
        pthread_cond_t wake;
        struct bl_admin_job *job;
        bool stuck, end;
        pthread_t *self;
};
struct node {
        struct worker w[WORKERS];
        struct bl_stats *stats[WORKERS];
        struct bl_admin *admin;
        int port;
        const char *role;
};

static void *work(void *arg)
{
        struct worker *w = arg;
        pthread_mutex_lock(&w->lock);
        while (!w->end) {
                struct bl_admin_job *j = w->stuck ? NULL : w->job;
                if (!j) {
                        pthread_cond_wait(&w->wake, &w->lock);
                        continue;
                }
                w->job = NULL;
                pthread_mutex_unlock(&w->lock);
                j->run(j);
                pthread_mutex_lock(&w->lock);
        }
        pthread_mutex_unlock(&w->lock);
        return NULL;
}

static void post(void *ctx, unsigned worker, struct bl_admin_job *job)
{
        struct worker *w = &((struct node *)ctx)->w[worker];
        pthread_mutex_lock(&w->lock);
        assert_null(w->job);
        w->job = job;
        pthread_cond_signal(&w->wake);
        pthread_mutex_unlock(&w->lock);
}

static const struct bl_stats *stats(void *ctx, unsigned worker)
{
        return ((struct node *)ctx)->stats[worker];
}

static void put_row(struct bl_sb *out, unsigned worker, uint64_t i)
{
        struct bl_json j = bl_json_begin(out);
        bl_json_int(&j, "worker", worker);
        bl_json_int(&j, "i", (int64_t)i);
        assert_true(bl_json_end(&j));
}

static bool many_rows(void *ctx, unsigned worker, struct bl_cursor *at, struct bl_sb *out)
{
        struct node *n = ctx;
        assert_true(pthread_equal(pthread_self(), n->w[worker].thread));
        for (unsigned k = 0; k < BL_ADMIN_ROWS && at->a < MANY; k++)
                put_row(out, worker, at->a++);
        return at->a < MANY;
}

static bool one_row(void *ctx, unsigned worker, struct bl_cursor *at, struct bl_sb *out)
{
        (void)ctx, (void)at;
        put_row(out, worker, 0);
        return false;
}

static bool no_row(void *ctx, unsigned worker, struct bl_cursor *at, struct bl_sb *out)
{
        (void)ctx, (void)at, (void)worker, (void)out;
        return false;
}

static int shout(void *ctx, const char *(*arg)(void *args, const char *key), void *args, struct bl_sb *out)
{
        const char *word = arg(args, "word");
        (void)ctx;
        if (!word) {
                bl_sb_addz(out, "word is missing");
                return BL_EINVAL;
        }
        struct bl_json j = bl_json_begin(out);
        bl_json_strz(&j, "said", word);
        bl_json_end(&j);
        return 0;
}

static const struct bl_view views[] = {
        {"many", "m", false, many_rows}, {"one", "o", true, one_row}, {"none", "n", false, no_row}};
static const struct bl_action actions[] = {{"shout", "s", shout}};

static int listen_somewhere(int *ret_port)
{
        struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t n = sizeof(sa);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&sa, n), 0);
        assert_int_equal(listen(fd, 8), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &n), 0);
        *ret_port = ntohs(sa.sin_port);
        return fd;
}

/* `local`: the requests count as the UNIX socket's. */
static void start(struct node *n, bool local)
{
        *n = (struct node){.role = "edge"};
        static struct bl_admin_part part;
        for (unsigned i = 0; i < WORKERS; i++) {
                pthread_mutex_init(&n->w[i].lock, NULL);
                pthread_cond_init(&n->w[i].wake, NULL);
                n->stats[i] = bl_stats_new();
                assert_int_equal(pthread_create(&n->w[i].thread, NULL, work, &n->w[i]), 0);
        }
        part = (struct bl_admin_part){n->role, WORKERS, post, stats, n};
        int fd = listen_somewhere(&n->port);
        struct bl_admin_conf c = {.unix_fd = local ? fd : -1,
                                  .tcp_fd = local ? -1 : fd,
                                  .parts = &part,
                                  .n_parts = 1,
                                  .views = views,
                                  .n_views = BL_ARRAY_LEN(views),
                                  .actions = actions,
                                  .n_actions = BL_ARRAY_LEN(actions),
                                  .wait_ms = 100};
        n->admin = bl_admin_new(&c);
        assert_non_null(n->admin);
}

static void end(struct node *n)
{
        bl_admin_stop(n->admin);
        for (unsigned i = 0; i < WORKERS; i++) {
                pthread_mutex_lock(&n->w[i].lock);
                n->w[i].end = true;
                pthread_cond_signal(&n->w[i].wake);
                pthread_mutex_unlock(&n->w[i].lock);
                pthread_join(n->w[i].thread, NULL);
        }
        bl_admin_free(n->admin);
        for (unsigned i = 0; i < WORKERS; i++)
                bl_stats_free(n->stats[i]);
}

/* The whole answer, freed by the caller; its body behind the empty line. */
static char *ask(const struct node *n, const char *what, const char **ret_body)
{
        struct sockaddr_in sa = {
                .sin_family = AF_INET, .sin_port = htons((uint16_t)n->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        char request[256];
        size_t got = 0, cap = 4 << 20;
        char *answer = malloc(cap);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
        int len = snprintf(request, sizeof(request), "%s HTTP/1.0\r\nHost: n\r\n\r\n", what);
        assert_int_equal(write(fd, request, (size_t)len), len);
        for (ssize_t k; (k = read(fd, answer + got, cap - got - 1)) > 0;)
                got += (size_t)k;
        close(fd);
        answer[got] = 0;
        *ret_body = strstr(answer, "\r\n\r\n");
        assert_non_null(*ret_body);
        *ret_body += 4;
        return answer;
}

static void expect(const struct node *n, const char *what, int status, const char *body)
{
        const char *got;
        char *answer = ask(n, what, &got);
        assert_int_equal(atoi(answer + strlen("HTTP/1.1 ")), status);
        if (body)
                assert_string_equal(got, body);
        free(answer);
}

static void a_view_is_asked_of_every_worker_chunk_by_chunk(void **state)
{
        struct node n;
        const char *at;
        (void)state;
        start(&n, false);
        char *answer = ask(&n, "GET /v1/many", &at), want[64];
        for (unsigned w = 0; w < WORKERS; w++) {
                for (unsigned i = 0; i < MANY; i++) {
                        int len = snprintf(want, sizeof(want), "{\"worker\":%u,\"i\":%u}\n", w, i);
                        assert_memory_equal(at, want, (size_t)len);
                        at += len;
                }
        }
        assert_string_equal(at, "");
        free(answer);
        expect(&n, "GET /v1/one", 200, "{\"worker\":0,\"i\":0}\n");
        expect(&n, "GET /v1/none", 200, "");
        end(&n);
}

static void a_limit_ends_a_view(void **state)
{
        struct node n;
        (void)state;
        start(&n, false);
        expect(&n, "GET /v1/many?limit=2", 200, "{\"worker\":0,\"i\":0}\n{\"worker\":0,\"i\":1}\n");
        expect(&n, "GET /v1/many?limit=0", 400, NULL);
        expect(&n, "GET /v1/many?limit=-1", 400, NULL);
        end(&n);
}

static void actions_run_by_the_local_socket_only(void **state)
{
        struct node n;
        (void)state;
        start(&n, true);
        expect(&n, "POST /v1/shout?word=hey", 200, "{\"said\":\"hey\"}\n");
        expect(&n, "POST /v1/shout", 409, "{\"error\":\"word is missing\"}\n");
        expect(&n, "GET /v1/shout?word=hey", 404, NULL);
        end(&n);
        start(&n, false);
        expect(&n, "POST /v1/shout?word=hey", 403, "{\"error\":\"only by the UNIX socket\"}\n");
        end(&n);
}

static void what_is_not_there_is_said(void **state)
{
        struct node n;
        const char *body;
        (void)state;
        start(&n, false);
        expect(&n, "GET /v1/nothing", 404, NULL);
        expect(&n, "GET /", 404, NULL);
        expect(&n, "DELETE /v1/many", 405, NULL);
        char *answer = ask(&n, "GET /v1/", &body);
        assert_non_null(strstr(body, "{\"name\":\"many\",\"method\":\"GET\",\"help\":\"m\"}\n"));
        assert_non_null(strstr(body, "{\"name\":\"shout\",\"method\":\"POST\",\"help\":\"s\"}\n"));
        free(answer);
        end(&n);
}

static void stick(struct worker *w, bool stuck)
{
        pthread_mutex_lock(&w->lock);
        w->stuck = stuck;
        pthread_cond_signal(&w->wake);
        pthread_mutex_unlock(&w->lock);
}

static void a_stuck_worker_is_not_waited_for_forever(void **state)
{
        struct node n;
        (void)state;
        start(&n, false);
        stick(&n.w[0], true);
        expect(&n, "GET /v1/many", 504, NULL);
        stick(&n.w[0], false); /* it runs the job late, when nobody waits any more */
        end(&n);
}

static void a_job_that_never_ran_goes_with_the_node(void **state)
{
        struct node n;
        (void)state;
        start(&n, false);
        stick(&n.w[0], true);
        expect(&n, "GET /v1/one", 504, NULL);
        end(&n); /* a leak would be the sanitizer's to say */
}

static void counters_are_summed_over_workers(void **state)
{
        struct node n;
        (void)state;
        start(&n, false);
        bl_count_n(bl_stats_counter(n.stats[0], "belay_edge_refused_total", "reason", "x"), 2);
        bl_count_n(bl_stats_counter(n.stats[1], "belay_edge_refused_total", "reason", "x"), 3);
        bl_count_n(bl_stats_counter(n.stats[1], "belay_edge_refused_total", "reason", "a"), 1);
        bl_gauge_set(bl_stats_counter(n.stats[0], "belay_edge_flows", NULL, NULL), 7);
        expect(&n, "GET /metrics", 200,
               "# TYPE belay_edge_flows gauge\nbelay_edge_flows 7\n"
               "# TYPE belay_edge_refused_total counter\n"
               "belay_edge_refused_total{reason=\"a\"} 1\nbelay_edge_refused_total{reason=\"x\"} 5\n");
        end(&n);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_view_is_asked_of_every_worker_chunk_by_chunk),
                cmocka_unit_test(a_limit_ends_a_view),
                cmocka_unit_test(actions_run_by_the_local_socket_only),
                cmocka_unit_test(what_is_not_there_is_said),
                cmocka_unit_test(a_stuck_worker_is_not_waited_for_forever),
                cmocka_unit_test(a_job_that_never_ran_goes_with_the_node),
                cmocka_unit_test(counters_are_summed_over_workers),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
