#include "unit/unit.h"

#include <pthread.h>
#include <stdlib.h>

#include "store/mem.h"
#include "store/users.h"
#include "unit/oom.h"

static const struct bl_str JOE = BL_STR("joe@example.com"), ANN = BL_STR("ann@example.com");
static const int64_t WALL = 1000;

static int setup(void **state)
{
        *state = bl_store_mem_new(&(struct bl_store_mem_conf){.hash_seed = 7, .max_contacts = 3});
        return *state ? 0 : -1;
}
static int teardown(void **state)
{
        struct bl_store *s = *state;

        s->ops->free(s);
        return 0;
}

static struct bl_contact contact(const char *uri, const char *instance, uint32_t reg_id, const char *call_id,
                                 uint32_t cseq)
{
        return (struct bl_contact){.uri = bl_str_z(uri),
                                   .instance = bl_str_z(instance),
                                   .reg_id = reg_id,
                                   .path = BL_STR("<sip:p@edge.example.com;lr>"),
                                   .params = BL_STR(";q=0.5"),
                                   .call_id = bl_str_z(call_id),
                                   .cseq = cseq,
                                   .q = 500,
                                   .updated_at = WALL,
                                   .expires_at = WALL + 60};
}

static int update(struct bl_store *s, struct bl_str aor, const struct bl_contact *c, unsigned n)
{
        struct bl_store_op op = {0};
        int rc = s->ops->update(s, NULL, aor, c, n, 0, &op);

        bl_store_end(&op);
        return rc;
}

/* The contacts of an AOR, newest first, as "uri uri". */
static void check(struct bl_store *s, struct bl_str aor, const char *want)
{
        struct bl_store_op op = {0};
        char text[512];
        struct bl_sb b = BL_SB(text);

        assert_int_equal(s->ops->lookup(s, NULL, aor, &op), 0);
        for (unsigned i = 0; i < op.location.n; i++) {
                if (i)
                        bl_sb_addc(&b, ' ');
                bl_sb_add(&b, op.location.c[i].uri);
                assert_true(i == 0 || op.location.c[i - 1].order > op.location.c[i].order);
        }
        assert_str(bl_sb_str(&b), want);
        bl_store_end(&op);
        assert_int_equal(op.location.n, 0);
}

static void stores_and_answers(void **state)
{
        struct bl_store *s = *state;
        struct bl_contact c = contact("sip:joe@192.0.2.4", "<urn:uuid:1>", 2, "a", 1);
        struct bl_store_op op = {0};

        check(s, JOE, "");
        assert_int_equal(s->ops->update(s, NULL, JOE, &c, 1, 0, &op), 0);
        assert_int_equal(op.location.n, 1);
        bl_store_end(&op);
        assert_int_equal(s->ops->lookup(s, NULL, JOE, &op), 0);
        assert_int_equal(op.location.n, 1);
        const struct bl_contact *got = op.location.c;
        assert_str(got->uri, "sip:joe@192.0.2.4");
        assert_str(got->instance, "<urn:uuid:1>");
        assert_str(got->path, "<sip:p@edge.example.com;lr>");
        assert_str(got->params, ";q=0.5");
        assert_str(got->call_id, "a");
        assert_true(got->reg_id == 2 && got->cseq == 1 && got->q == 500 && got->expires_at == WALL + 60);
        assert_true(got->updated_at == WALL && got->order > 0);
        /* the answer lives on while the store changes */
        c.uri = BL_STR("sip:joe@192.0.2.99");
        c.cseq = 2;
        assert_int_equal(update(s, JOE, &c, 1), 0);
        assert_str(op.location.c[0].uri, "sip:joe@192.0.2.4");
        bl_store_end(&op);
        bl_store_end(&op); /* accepts one without results */
        check(s, ANN, "");
        assert_int_equal(bl_store_mem_count(s), 1);
}

/* RFC 5626 section 6 */
static void instance_and_reg_id_are_the_key(void **state)
{
        struct bl_store *s = *state;
        struct bl_contact c[] = {contact("sip:joe@192.0.2.1", "<urn:uuid:1>", 1, "a", 1),
                                 contact("sip:joe@192.0.2.1", "<urn:uuid:1>", 2, "b", 1)};

        assert_int_equal(update(s, JOE, &c[0], 1), 0);
        assert_int_equal(update(s, JOE, &c[1], 1), 0);
        check(s, JOE, "sip:joe@192.0.2.1 sip:joe@192.0.2.1"); /* two flows */
        c[0].uri = BL_STR("sip:joe@192.0.2.77:5062;longer=than-before");
        c[0].call_id = BL_STR("c");
        assert_int_equal(update(s, JOE, &c[0], 1), 0);
        check(s, JOE, "sip:joe@192.0.2.77:5062;longer=than-before sip:joe@192.0.2.1");
        c[1].uri = BL_STR("sip:j@h");
        c[1].cseq = 2;
        assert_int_equal(update(s, JOE, &c[1], 1), 0);
        check(s, JOE, "sip:j@h sip:joe@192.0.2.77:5062;longer=than-before");
        c[0].instance = BL_STR("<urn:uuid:2>");
        assert_int_equal(update(s, JOE, &c[0], 1), 0);
        assert_int_equal(bl_store_mem_count(s), 3);
}

static void without_instance_equal_contacts_are_one(void **state)
{
        struct bl_store *s = *state;
        struct bl_contact c = contact("sip:joe@Host.example:5060", "", 0, "a", 1);

        assert_int_equal(update(s, JOE, &c, 1), 0);
        c.uri = BL_STR("SIP:joe@host.EXAMPLE:5060");
        c.cseq = 2;
        assert_int_equal(update(s, JOE, &c, 1), 0);
        check(s, JOE, "SIP:joe@host.EXAMPLE:5060");
        c.uri = BL_STR("sip:joe@host.example"); /* another port, RFC 3261 19.1.4 */
        assert_int_equal(update(s, JOE, &c, 1), 0);
        assert_int_equal(bl_store_mem_count(s), 2);
}

/* RFC 3261 section 10.3 step 7 */
static void out_of_order_changes_nothing(void **state)
{
        struct bl_store *s = *state;
        struct bl_contact c[] = {contact("sip:joe@1", "", 0, "a", 5), contact("sip:joe@2", "", 0, "b", 1)};
        struct bl_contact mixed[] = {contact("sip:joe@3", "", 0, "a", 5), contact("sip:joe@1", "", 0, "a", 5)};
        struct bl_contact star = {.call_id = BL_STR("a"), .cseq = 5};
        struct bl_store_op op = {0};

        assert_int_equal(update(s, JOE, c, 2), 0);
        assert_int_equal(update(s, JOE, &c[0], 1), BL_EPROTO);
        c[0].cseq = 4;
        c[0].expires_at = 0;
        assert_int_equal(update(s, JOE, &c[0], 1), BL_EPROTO);
        assert_int_equal(update(s, JOE, mixed, 2), BL_EPROTO); /* atomically: the first is not stored either */
        check(s, JOE, "sip:joe@2 sip:joe@1");
        assert_int_equal(s->ops->update(s, NULL, JOE, &star, 1, BL_STORE_REMOVE_ALL, &op), BL_EPROTO);
        check(s, JOE, "sip:joe@2 sip:joe@1");
        c[0].call_id = BL_STR("z"); /* a rebooted phone: any CSeq */
        c[0].cseq = 1;
        c[0].expires_at = WALL + 60;
        assert_int_equal(update(s, JOE, &c[0], 1), 0);
}

static void removes(void **state)
{
        struct bl_store *s = *state;
        struct bl_contact c[] = {contact("sip:joe@1", "", 0, "a", 1), contact("sip:joe@2", "", 0, "a", 1),
                                 contact("sip:joe@3", "", 0, "a", 1)};
        struct bl_contact star = {.call_id = BL_STR("a"), .cseq = 9};
        struct bl_store_op op = {0};

        assert_int_equal(update(s, JOE, c, 3), 0);
        check(s, JOE, "sip:joe@3 sip:joe@2 sip:joe@1");
        c[1].cseq = 2;
        c[1].expires_at = 0;
        assert_int_equal(update(s, JOE, &c[1], 1), 0);
        check(s, JOE, "sip:joe@3 sip:joe@1");
        c[1].cseq = 3;
        assert_int_equal(update(s, JOE, &c[1], 1), 0); /* what is not there may be removed */
        assert_int_equal(s->ops->update(s, NULL, JOE, &star, 1, BL_STORE_REMOVE_ALL, &op), 0);
        assert_int_equal(op.location.n, 0);
        bl_store_end(&op);
        check(s, JOE, "");
        assert_int_equal(s->ops->update(s, NULL, JOE, NULL, 0, BL_STORE_REMOVE_ALL, &op), 0);
        bl_store_end(&op);
        assert_int_equal(bl_store_mem_count(s), 0);
}

static void a_failed_binding_goes_if_it_is_still_that_one(void **state)
{
        struct bl_store *s = *state;
        struct bl_contact c = contact("sip:joe@1", "<i>", 1, "a", 1);
        struct bl_store_op op = {0}, none = {0};

        assert_int_equal(update(s, JOE, &c, 1), 0);
        assert_int_equal(s->ops->lookup(s, NULL, JOE, &op), 0);
        c.cseq = 2;
        assert_int_equal(update(s, JOE, &c, 1), 0); /* the UA was quicker */
        assert_int_equal(s->ops->remove(s, NULL, JOE, &op.location.c[0], &none), 0);
        check(s, JOE, "sip:joe@1");
        bl_store_end(&op);
        assert_int_equal(s->ops->lookup(s, NULL, JOE, &op), 0);
        assert_int_equal(s->ops->remove(s, NULL, JOE, &op.location.c[0], &none), 0);
        check(s, JOE, "");
        assert_int_equal(s->ops->remove(s, NULL, ANN, &op.location.c[0], &none), 0);
        bl_store_end(&op);
}

static void limits_contacts(void **state)
{
        struct bl_store *s = *state;
        struct bl_contact c[] = {contact("sip:joe@1", "", 0, "a", 1), contact("sip:joe@2", "", 0, "a", 1),
                                 contact("sip:joe@3", "", 0, "a", 1), contact("sip:joe@4", "", 0, "a", 1)};

        assert_int_equal(update(s, JOE, c, 4), BL_ELIMIT);
        check(s, JOE, "");
        assert_int_equal(update(s, JOE, c, 3), 0);
        assert_int_equal(update(s, JOE, &c[3], 1), BL_ELIMIT);
        c[0].cseq = 2;
        assert_int_equal(update(s, JOE, &c[0], 1), 0); /* a refresh at the limit */
        assert_int_equal(update(s, ANN, c, 3), 0);     /* per AOR */
        struct bl_contact swap[] = {c[3], c[0]};
        swap[0].cseq = swap[1].cseq = 3;
        swap[1].expires_at = 0;
        assert_int_equal(update(s, JOE, swap, 2), 0); /* one comes, one goes */
}

static void expires(void **state)
{
        struct bl_store *s = *state;
        struct bl_contact a = contact("sip:joe@1", "", 0, "a", 1), b = contact("sip:joe@2", "", 0, "b", 1);

        b.expires_at = WALL + 100;
        assert_int_equal(update(s, JOE, &a, 1), 0);
        assert_int_equal(update(s, JOE, &b, 1), 0);
        s->ops->expire(s, WALL + 59);
        check(s, JOE, "sip:joe@2 sip:joe@1");
        s->ops->expire(s, WALL + 60);
        check(s, JOE, "sip:joe@2");
        assert_int_equal(bl_store_mem_count(s), 1);
        s->ops->expire(s, WALL + 100);
        check(s, JOE, "");
        assert_int_equal(bl_store_mem_count(s), 0);
}

/* What has expired neither counts against the limit nor orders what comes. */
static void the_expired_are_out_of_the_way(void **state)
{
        struct bl_store *s = *state;
        struct bl_contact c = contact("sip:x@1", "", 0, "x", 1),
                          old[] = {contact("sip:joe@1", "", 0, "a", 9), contact("sip:joe@2", "", 0, "a", 9),
                                   contact("sip:joe@3", "", 0, "a", 9)},
                          new[] = {contact("sip:joe@1", "", 0, "a", 1), contact("sip:joe@4", "", 0, "a", 1)};
        char aor[32];

        c.expires_at = WALL + 9999;
        for (unsigned i = 0; i < 1000; i++) { /* so that no sweep comes to joe first */
                struct bl_sb b = BL_SB(aor);

                bl_sb_fmt(&b, "u%u@example.com", i);
                assert_int_equal(update(s, bl_sb_str(&b), &c, 1), 0);
        }
        assert_int_equal(update(s, JOE, old, 3), 0);
        new[0].updated_at = new[1].updated_at = WALL + 60;
        new[0].expires_at = new[1].expires_at = WALL + 120;
        assert_int_equal(update(s, JOE, new, 2), 0);
        check(s, JOE, "sip:joe@4 sip:joe@1");
}

/* A bounded number at a time, all in the end; what has expired is in no answer meanwhile. */
static void expires_many(void **state)
{
        struct bl_store *s = *state;
        struct bl_contact c = contact("sip:joe@1", "", 0, "a", 1);
        char aor[32];
        size_t before;

        for (unsigned i = 0; i < 3000; i++) {
                struct bl_sb b = BL_SB(aor);

                bl_sb_fmt(&b, "u%u@example.com", i);
                assert_int_equal(update(s, bl_sb_str(&b), &c, 1), 0);
        }
        assert_int_equal(bl_store_mem_count(s), 3000);
        s->ops->expire(s, WALL + 60);
        before = bl_store_mem_count(s);
        assert_true(before < 3000 && before >= 3000 - 256);
        check(s, BL_STR("u17@example.com"), "");
        for (unsigned i = 0; i < 100; i++)
                s->ops->expire(s, WALL + 60);
        assert_int_equal(bl_store_mem_count(s), 0);
}

static void subscribers(void **state)
{
        char line[256], error[200];
        struct bl_sb file = BL_SB(line);
        struct bl_store_op op = {0};
        struct bl_store *s;

        (void)state;
        bl_users_line(BL_STR("joe"), BL_STR("example.com"), BL_STR("pw"), BL_STR("staff"), &file);
        struct bl_users *u = bl_users_parse(bl_sb_str(&file), error, sizeof(error));
        s = bl_store_mem_new(&(struct bl_store_mem_conf){.users = u});
        assert_int_equal(s->ops->subscriber(s, NULL, BL_STR("joe"), BL_STR("example.com"), &op), 0);
        assert_int_equal(strlen(op.credentials.ha1_sha256), 64);
        assert_str(op.group, "staff");
        bl_store_end(&op);
        assert_int_equal(s->ops->subscriber(s, NULL, BL_STR("eve"), BL_STR("example.com"), &op), BL_ENOENT);
        bl_store_cancel(s, &op); /* nothing is pending: nothing happens */
        s->ops->free(s);
        bl_users_free(u);
        s = bl_store_mem_new(&(struct bl_store_mem_conf){0});
        assert_int_equal(s->ops->subscriber(s, NULL, BL_STR("joe"), BL_STR("example.com"), &op), BL_ENOENT);
        u = bl_users_parse(bl_sb_str(&file), error, sizeof(error));
        bl_store_mem_set_users(s, u);
        assert_int_equal(s->ops->subscriber(s, NULL, BL_STR("joe"), BL_STR("example.com"), &op), 0);
        bl_store_end(&op);
        bl_store_mem_set_users(s, NULL);
        assert_int_equal(s->ops->subscriber(s, NULL, BL_STR("joe"), BL_STR("example.com"), &op), BL_ENOENT);
        bl_users_free(u);
        s->ops->free(s);
}

/* --- snapshots --- */

struct file {
        char text[65536];
        size_t n;
};
static int append(void *arg, struct bl_str octets)
{
        struct file *f = arg;

        assert_true(f->n + octets.n < sizeof(f->text));
        memcpy(f->text + f->n, octets.p, octets.n);
        f->n += octets.n;
        return 0;
}
static int no_space(void *arg, struct bl_str octets)
{
        (void)arg;
        (void)octets;
        return -28;
}

static void snapshots(void **state)
{
        struct bl_store *s = *state, *again = bl_store_mem_new(&(struct bl_store_mem_conf){.hash_seed = 99});
        struct bl_contact a = contact("sip:joe@1;x=%25", "<urn:uuid:1>", 1, "tab\tand\nline %", 1),
                          b = contact("sip:joe@2", "", 0, "b", 4294967295u), c = contact("sip:ann@3", "", 0, "c", 1);
        static struct file f, g;
        unsigned skipped = 9;
        struct bl_store_op op = {0};

        f.n = g.n = 0;
        c.expires_at = WALL + 10;
        assert_int_equal(update(s, JOE, &a, 1), 0);
        assert_int_equal(update(s, JOE, &b, 1), 0);
        assert_int_equal(update(s, ANN, &c, 1), 0);
        assert_int_equal(bl_store_mem_save(s, append, &f), 0);
        assert_int_equal(bl_store_mem_save(s, no_space, NULL), -28);
        assert_int_equal(bl_store_mem_load(again, bl_str_make(f.text, f.n), WALL + 20, &skipped), 0);
        assert_int_equal(skipped, 0);
        assert_int_equal(bl_store_mem_count(again), 2); /* ann's has expired */
        check(again, JOE, "sip:joe@2 sip:joe@1;x=%25");
        assert_int_equal(again->ops->lookup(again, NULL, JOE, &op), 0);
        assert_str(op.location.c[1].call_id, "tab\tand\nline %");
        assert_str(op.location.c[1].path, "<sip:p@edge.example.com;lr>");
        assert_true(op.location.c[0].cseq == 4294967295u && op.location.c[1].reg_id == 1);
        bl_store_end(&op);
        /* what comes later is newer */
        struct bl_contact d = contact("sip:joe@9", "", 0, "d", 1);
        assert_int_equal(update(again, JOE, &d, 1), 0);
        check(again, JOE, "sip:joe@9 sip:joe@2 sip:joe@1;x=%25");
        /* loading again changes nothing */
        assert_int_equal(bl_store_mem_load(again, bl_str_make(f.text, f.n), WALL + 20, &skipped), 0);
        check(again, JOE, "sip:joe@9 sip:joe@2 sip:joe@1;x=%25");
        again->ops->free(again);
}

/* Torn anywhere, or with any octet changed, it loses lines and invents none. */
static void torn_snapshots(void **state)
{
        struct bl_store *s = *state;
        struct bl_contact a = contact("sip:joe@1", "", 0, "a", 1), b = contact("sip:joe@2", "", 0, "b", 2);
        static struct file f;
        unsigned skipped;

        f.n = 0;
        assert_int_equal(update(s, JOE, &a, 1), 0);
        assert_int_equal(update(s, JOE, &b, 1), 0);
        assert_int_equal(bl_store_mem_save(s, append, &f), 0);
        for (size_t n = 0; n < f.n; n++) {
                struct bl_store *t = bl_store_mem_new(&(struct bl_store_mem_conf){0});
                char was = f.text[n];

                assert_int_equal(bl_store_mem_load(t, bl_str_make(f.text, n), WALL, &skipped), 0);
                assert_true(bl_store_mem_count(t) + skipped <= 2);
                f.text[n] ^= 1;
                assert_int_equal(bl_store_mem_load(t, bl_str_make(f.text, f.n), WALL, &skipped), 0);
                assert_true(skipped >= 1);
                f.text[n] = was;
                t->ops->free(t);
        }
}

/* A refresh and a call take no memory from the heap. */
static void steady_state_takes_no_memory(void **state)
{
        struct bl_store *s = *state;
        struct bl_contact c = contact("sip:joe@1", "<i>", 1, "a", 1);
        struct bl_store_op op = {0};
        long before = 0;

        for (unsigned i = 0; i < 200; i++) {
                if (i == 100)
                        before = oom_count();
                c.cseq++;
                c.updated_at += 10;
                c.expires_at = c.updated_at + 60;
                assert_int_equal(update(s, JOE, &c, 1), 0);
                assert_int_equal(s->ops->lookup(s, NULL, JOE, &op), 0);
                assert_int_equal(op.location.n, 1);
                bl_store_end(&op);
        }
        assert_int_equal(oom_count(), before);
}

/* --- several workers --- */

struct worker {
        struct bl_store *s;
        unsigned number, wrong;
};

static void *work(void *arg)
{
        struct worker *w = arg;
        char aor[32];
        struct bl_sb own = BL_SB(aor);

        bl_sb_fmt(&own, "w%u@example.com", w->number);
        for (unsigned i = 1; i <= 2000; i++) {
                struct bl_contact c = contact("sip:joe@1", "<i>", w->number, "a", i);
                struct bl_store_op op = {0};

                w->wrong += w->s->ops->update(w->s, NULL, bl_sb_str(&own), &c, 1, 0, &op) != 0 || op.location.n != 1 ||
                            op.location.c[0].cseq != i;
                bl_store_end(&op);
                (void)w->s->ops->update(w->s, NULL, JOE, &c, 1, 0, &op); /* shared: at most three contacts */
                bl_store_end(&op);
                w->wrong += w->s->ops->lookup(w->s, NULL, JOE, &op) != 0 || op.location.n > 3;
                bl_store_end(&op);
                if (i % 64 == 0)
                        w->s->ops->expire(w->s, WALL);
                if (i % 500 == 0) {
                        c.expires_at = 0;
                        c.cseq = i + 1;
                        (void)w->s->ops->update(w->s, NULL, JOE, &c, 1, 0, &op);
                        bl_store_end(&op);
                }
        }
        return NULL;
}

static void workers_share_it(void **state)
{
        struct worker w[4];
        pthread_t thread[4];

        for (unsigned i = 0; i < 4; i++) {
                w[i] = (struct worker){.s = *state, .number = i};
                assert_int_equal(pthread_create(&thread[i], NULL, work, &w[i]), 0);
        }
        for (unsigned i = 0; i < 4; i++) {
                assert_int_equal(pthread_join(thread[i], NULL), 0);
                assert_int_equal(w[i].wrong, 0);
        }
        assert_in_range(bl_store_mem_count(*state), 4, 7);
}

static void without_memory(void **state)
{
        (void)state;
        OOM_EACH(run)
        {
                struct bl_store *s = bl_store_mem_new(&(struct bl_store_mem_conf){0});
                struct bl_contact c[] = {contact("sip:joe@1", "", 0, "a", 1), contact("sip:joe@2", "", 0, "a", 1)};
                struct bl_store_op op = {0};
                int rc;

                if (!s)
                        continue;
                rc = s->ops->update(s, NULL, JOE, c, 2, 0, &op);
                assert_true(rc == 0 || (oom_struck() && rc == BL_ENOMEM));
                if (rc == 0)
                        assert_int_equal(op.location.n, 2);
                bl_store_end(&op);
                s->ops->free(s);
        }
}

int main(void)
{
#define WITH(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
        const struct CMUnitTest tests[] = {
                WITH(stores_and_answers),
                WITH(instance_and_reg_id_are_the_key),
                WITH(without_instance_equal_contacts_are_one),
                WITH(out_of_order_changes_nothing),
                WITH(removes),
                WITH(a_failed_binding_goes_if_it_is_still_that_one),
                WITH(limits_contacts),
                WITH(expires),
                WITH(the_expired_are_out_of_the_way),
                WITH(expires_many),
                cmocka_unit_test(subscribers),
                WITH(snapshots),
                WITH(torn_snapshots),
                WITH(steady_state_takes_no_memory),
                WITH(workers_share_it),
                cmocka_unit_test(without_memory),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
