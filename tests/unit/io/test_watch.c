#include "unit/io/rig.h"

#include <sys/stat.h>

#include "io/watch.h"

struct look {
        struct rig rig;
        struct bl_watch *watch;
        char dir[64];
        unsigned told;
        void (*then)(struct look *l); /* after it was told */
};

static void at(const struct look *l, const char *name, char out[128])
{
        struct bl_sb b = {out, 0, 127, false};
        bl_sb_fmt(&b, "%s/%s", l->dir, name);
        out[b.n] = '\0';
}

static void put(const struct look *l, const char *name, const char *text)
{
        char path[128];
        at(l, name, path);
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        assert_true(fputs(text, f) >= 0);
        assert_int_equal(fclose(f), 0);
}

static void move(const struct look *l, const char *from, const char *to)
{
        char a[128], b[128];
        at(l, from, a);
        at(l, to, b);
        assert_int_equal(rename(a, b), 0);
}

static void link_to(const struct look *l, const char *target, const char *name)
{
        char path[128];
        at(l, name, path);
        assert_int_equal(symlink(target, path), 0);
}

static void told(void *arg)
{
        struct look *l = arg;
        l->told++;
        if (l->then)
                l->then(l);
        else
                bl_world_stop(l->rig.world, 0);
}

static void look_open(struct look *l, const char *const names[], unsigned n)
{
        struct bl_str paths[4];
        char text[4][128];
        snprintf(l->dir, sizeof(l->dir), "/tmp/belay-watch-XXXXXX");
        assert_non_null(mkdtemp(l->dir));
        rig_open(&l->rig, NULL);
        l->watch = bl_watch_open(l->rig.world, told, l);
        assert_non_null(l->watch);
        for (unsigned i = 0; i < n; i++) {
                at(l, names[i], text[i]);
                paths[i] = bl_str_z(text[i]);
        }
        put(l, "one", "1");
        put(l, "two", "2");
        char sub[128];
        at(l, "v1", sub);
        assert_int_equal(mkdir(sub, 0700), 0);
        at(l, "v2", sub);
        assert_int_equal(mkdir(sub, 0700), 0);
        put(l, "v1/three", "3");
        put(l, "v2/three", "3"); /* the same, but another file */
        link_to(l, "v1", "now");
        link_to(l, "now/three", "three");
        assert_int_equal(bl_watch_set(l->watch, paths, n), 0);
}

static void look_close(struct look *l)
{
        char cmd[128];
        bl_watch_close(l->watch);
        rig_close(&l->rig);
        snprintf(cmd, sizeof(cmd), "rm -rf '%s'", l->dir);
        assert_int_equal(system(cmd), 0);
}

static void test_what_changes_together_is_told_once(void **state)
{
        (void)state;
        struct look l = {0};
        look_open(&l, (const char *const[]){"one", "two"}, 2);
        put(&l, "one", "1, written again");
        put(&l, "two.new", "2, too");
        move(&l, "two.new", "two");
        rig_run(&l.rig);
        assert_int_equal(l.told, 1);
        look_close(&l);
}

/* As certificates are mounted into containers: a link in the same folder leads to another folder. */
static void test_a_link_that_leads_elsewhere(void **state)
{
        (void)state;
        struct look l = {0};
        look_open(&l, (const char *const[]){"three"}, 1);
        link_to(&l, "v2", "now.new");
        move(&l, "now.new", "now");
        rig_run(&l.rig);
        assert_int_equal(l.told, 1);
        look_close(&l);
}

static void then_watch_the_other(struct look *l)
{
        char text[128];
        at(l, "two", text);
        struct bl_str path = bl_str_z(text);
        assert_int_equal(bl_watch_set(l->watch, &path, 1), 0);
        l->then = NULL;
        put(l, "one", "of no interest any more");
        put(l, "two", "this is");
}

static void test_others_instead(void **state)
{
        (void)state;
        struct look l = {.then = then_watch_the_other};
        look_open(&l, (const char *const[]){"one"}, 1);
        put(&l, "one", "1, again");
        rig_run(&l.rig);
        assert_int_equal(l.told, 2);
        look_close(&l);
}

static void other_told(void *arg)
{
        bl_world_stop(((struct look *)arg)->rig.world, 0);
}

/* Neighbours in the same folder, and a file that is not there, are nothing. Who watches the neighbour, and began later,
 * looks later. */
static void test_nothing_is_told_for_nothing(void **state)
{
        (void)state;
        struct look l = {0};
        look_open(&l, (const char *const[]){"one", "gone", "no/folder/either"}, 3);
        char text[128];
        at(&l, "two", text);
        struct bl_str path = bl_str_z(text);
        struct bl_watch *other = bl_watch_open(l.rig.world, other_told, &l);
        assert_non_null(other);
        assert_int_equal(bl_watch_set(other, &path, 1), 0);
        put(&l, "two", "the other's");
        rig_run(&l.rig);
        assert_int_equal(l.told, 0);
        bl_watch_close(other);
        look_close(&l);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_what_changes_together_is_told_once),
                cmocka_unit_test(test_a_link_that_leads_elsewhere),
                cmocka_unit_test(test_others_instead),
                cmocka_unit_test(test_nothing_is_told_for_nothing),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
