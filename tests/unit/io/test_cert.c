#include "unit/io/pki.h"

#include "io/cert.h"

static char said[1024];

static struct bl_cert_ca *opened(const char *dir, bool made)
{
        struct bl_sb err = {said, 0, sizeof(said) - 1, false};
        struct bl_cert_ca *ca = NULL;
        bool fresh = !made;
        int rc = bl_cert_open(dir, 100, time(NULL), &err, &fresh, &ca);
        said[err.n] = '\0';
        if (rc < 0)
                fail_msg("%s", said);
        assert_int_equal(fresh, made);
        return ca;
}

static void issue(struct bl_cert_ca *ca, const struct bl_str *names, unsigned n)
{
        struct bl_sb err = {said, 0, sizeof(said) - 1, false};
        assert_int_equal(bl_cert_issue(ca, names, n, 30, time(NULL), &err), 0);
}

static unsigned mode_of(struct pki *k, const char *name, const char *ending)
{
        struct stat st;
        assert_int_equal(stat(pki_path(k, name, ending).p, &st), 0);
        return st.st_mode & 0777;
}

/* What it makes belayd can use; a second run is signed by the same authority. */
static void test_made_and_used(void **state)
{
        (void)state;
        struct pki k;
        static const struct bl_str two[] = {{"edge.example", 12}, {"other.example", 13}},
                                   one[] = {{"home.example", 12}};
        char before[4096], after[4096];
        pki_open(&k);
        struct bl_cert_ca *ca = opened(k.dir, true);
        issue(ca, two, 2);
        bl_cert_close(ca);
        pki_read(&k, "ca", ".pem", before, sizeof(before));
        ca = opened(k.dir, false);
        issue(ca, one, 1);
        bl_cert_close(ca);
        pki_read(&k, "ca", ".pem", after, sizeof(after));
        assert_string_equal(before, after);
        assert_int_equal(mode_of(&k, "ca", ".key"), 0600);
        assert_int_equal(mode_of(&k, "edge.example", ".key"), 0600);
        assert_int_equal(mode_of(&k, "edge.example", ".pem"), 0644);

        const char *names[] = {"edge.example", "home.example"};
        for (unsigned i = 0; i < 2; i++) {
                struct bl_creds_pair pair = {pki_path(&k, names[i], ".pem"), pki_path(&k, names[i], ".key")};
                struct bl_creds_conf c = {.pairs = &pair, .n_pairs = 1, .ca = pki_path(&k, "ca", ".pem")};
                struct bl_sb err = {said, 0, sizeof(said), false};
                struct bl_creds *creds = NULL;
                assert_int_equal(bl_creds_new(&c, &err, &creds), 0);
                assert_true(bl_creds_prove(creds, bl_str_z(names[i])));
                assert_int_equal(bl_creds_prove(creds, BL_STR("other.example")), i == 0);
                const struct bl_creds_id *id = bl_creds_get(creds, 0);
                assert_true(id->not_before < time(NULL)); /* for clocks that run behind */
                assert_int_equal((id->not_after - time(NULL) + 3600) / 86400, 30);
                bl_creds_unref(creds);
        }
        pki_close(&k);
}

static void assert_not_opened(const char *dir, const char *says)
{
        struct bl_sb err = {said, 0, sizeof(said) - 1, false};
        struct bl_cert_ca *ca = NULL;
        bool made;
        assert_true(bl_cert_open(dir, 1, time(NULL), &err, &made, &ca) < 0);
        said[err.n] = '\0';
        assert_null(ca);
        if (!strstr(said, says))
                fail_msg("\"%s\" does not say \"%s\"", said, says);
}

static void test_half_an_authority_is_not_replaced(void **state)
{
        (void)state;
        struct pki k;
        pki_open(&k);
        bl_cert_close(opened(k.dir, true));
        assert_int_equal(unlink(pki_path(&k, "ca", ".key").p), 0);
        assert_not_opened(k.dir, "belong together");
        pki_write(&k, "ca", ".key", "nonsense", 8);
        assert_not_opened(k.dir, "ca.key: ");
        pki_close(&k);
        assert_not_opened("/proc/nowhere", "cannot be made");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_made_and_used),
                cmocka_unit_test(test_half_an_authority_is_not_replaced),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
