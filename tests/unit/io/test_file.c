#include "unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/file.h"

static char dir[] = "/tmp/belay-files-XXXXXX", path[64], said[512];

static int read_it(const char *name, size_t max, struct bl_str *ret)
{
        struct bl_sb err = {said, 0, sizeof(said) - 1, false};
        int rc = bl_file_read(name, "some.key", "make one", max, &err, ret);
        said[err.n] = '\0';
        return rc;
}

static void test_written_and_read(void **state)
{
        (void)state;
        struct bl_str s;
        struct stat st;
        assert_int_equal(bl_file_replace(path, BL_STR("one")), 0);
        assert_int_equal(bl_file_replace(path, BL_STR("second")), 0);
        assert_int_equal(read_it(path, 6, &s), 0);
        assert_str(s, "second");
        assert_int_equal(s.p[s.n], 0);
        bl_file_free(s);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        assert_false(bl_file_is_open_to_others(path));
        assert_int_equal(chmod(path, 0644), 0);
        assert_true(bl_file_is_open_to_others(path));
        bl_file_free((struct bl_str){0});
}

static void test_what_goes_wrong_is_said(void **state)
{
        (void)state;
        struct bl_str s;
        assert_int_equal(bl_file_replace(path, BL_STR("second")), 0);
        assert_int_equal(read_it(path, 5, &s), BL_ELIMIT);
        assert_non_null(strstr(said, "(some.key): is larger than 5 octets; is it the right file?"));
        assert_int_equal(read_it("/nowhere/at/all", 5, &s), -ENOENT);
        assert_string_equal(said, "/nowhere/at/all (some.key): there is no such file; make one");
        assert_int_equal(read_it("/tmp", 5, &s), -EISDIR);
        assert_non_null(strstr(said, "/tmp (some.key): "));
        assert_int_equal(bl_file_replace("/nowhere/at/all", BL_STR("x")), -ENOENT);
}

static int make_dir(void **state)
{
        (void)state;
        if (!mkdtemp(dir))
                return -1;
        snprintf(path, sizeof(path), "%s/x", dir);
        return 0;
}

static int remove_dir(void **state)
{
        (void)state;
        unlink(path);
        return rmdir(dir); /* fails when something else was left there */
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_written_and_read),
                cmocka_unit_test(test_what_goes_wrong_is_said),
        };
        return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
