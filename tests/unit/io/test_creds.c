#include "unit/io/pki.h"

#include <errno.h>

static char said[1024];

static int load(const struct bl_creds_conf *c, struct bl_creds **ret)
{
        struct bl_sb err = {said, 0, sizeof(said) - 1, false};
        int rc = bl_creds_new(c, &err, ret);
        said[err.n] = '\0';
        return rc;
}

static void assert_refused(struct pki *k, const char *cert, const char *key, const char *ca, const char *says)
{
        struct bl_creds_pair pair = {pki_path(k, cert, ""), key ? pki_path(k, key, "") : (struct bl_str){0}};
        struct bl_creds_conf c = {.pairs = &pair, .n_pairs = 1, .ca = pki_path(k, ca, "")};
        struct bl_creds *creds = NULL;
        assert_true(load(&c, &creds) < 0);
        assert_null(creds);
        if (!strstr(said, says) || !strstr(said, k->dir) || strchr(said, '\n'))
                fail_msg("\"%s\" does not say \"%s\" about a file", said, says);
}

static void test_files_that_will_not_do(void **state)
{
        (void)state;
        struct pki k;
        static const char encrypted[] = "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
                                        "MIHjME4GCSqGSIb3DQEFDTBBMCkGCSqGSIb3DQEFDDAcBAg=\n"
                                        "-----END ENCRYPTED PRIVATE KEY-----\n";
        pki_usual(&k);
        pki_write(&k, "empty", "", "", 0);
        pki_write(&k, "text", "", "no certificate\n", 15);
        pki_write(&k, "half", "", "-----BEGIN CERTIFICATE-----\nMIIB", 32);
        pki_write(&k, "encrypted", "", encrypted, sizeof(encrypted) - 1);
        assert_refused(&k, "gone.pem", NULL, "ca.pem", "gone.pem (tls.cert): there is no such file");
        assert_refused(&k, "empty", NULL, "ca.pem", "there is no certificate in it");
        assert_refused(&k, "text", NULL, "ca.pem", "there is no certificate in it");
        assert_refused(&k, "half", NULL, "ca.pem", "half (tls.cert): ");
        assert_refused(&k, "a.example.pem", NULL, "ca.pem", "no private key in it; name the key's file in tls.key");
        assert_refused(&k, "a.example.pem", "gone.key", "ca.pem", "gone.key (tls.key): there is no such file");
        assert_refused(&k, "a.example.pem", "text", "ca.pem", "there is no private key in it");
        assert_refused(&k, "a.example.pem", "encrypted", "ca.pem", "encrypted (tls.key): is encrypted");
        assert_refused(&k, "a.example.pem", "b.example.key", "ca.pem", "does not belong to the certificate in");
        assert_refused(&k, "a.example.both", NULL, "gone.pem", "gone.pem (tls.ca): there is no such file");
        assert_refused(&k, "a.example.both", NULL, "text", "text (tls.ca): there is no certificate in it");
        pki_close(&k);
}

static void test_a_file_that_may_not_be_read(void **state)
{
        (void)state;
        struct pki k;
        pki_usual(&k);
        assert_int_equal(chmod(k.dir, 0755), 0);
        assert_int_equal(chmod(pki_path(&k, "a.example", ".key").p, 0), 0);
        if (geteuid() == 0)
                assert_int_equal(seteuid(65534), 0);
        assert_refused(&k, "a.example.pem", "a.example.key", "ca.pem", "may not be read by this user");
        if (getuid() == 0)
                assert_int_equal(seteuid(0), 0);
        pki_close(&k);
}

static void test_what_they_prove(void **state)
{
        (void)state;
        struct pki k;
        pki_usual(&k);
        pki_make(&k,
                 &(struct pki_want){.name = "both", .signer = "ca", .uri = "sip:U.example;x=y", .dns = "d.example"});
        pki_make(&k,
                 &(struct pki_want){.name = "user", .signer = "ca", .uri = "sip:joe@j.example", .dns = "e.example"});
        pki_make(&k, &(struct pki_want){.name = "cn.example", .signer = "ca"});
        struct bl_creds *c = PKI_CREDS(&k, "ca", 0, "both", "user", "cn.example");
        static const struct {
                const char *domain;
                bool proven;
        } t[] = {{"u.example", true}, {"U.EXAMPLE", true},  {"d.example", false}, /* beside a URI it does not count */
                 {"e.example", true}, {"j.example", false}, {"cn.example", true}, {"example", false}, {"", false}};
        assert_int_equal(bl_creds_count(c), 3);
        for (size_t i = 0; i < BL_ARRAY_LEN(t); i++)
                assert_int_equal(bl_creds_prove(c, bl_str_z(t[i].domain)), t[i].proven);
        bl_creds_unref(c);
        pki_close(&k);
}

static void test_doubts(void **state)
{
        (void)state;
        struct bl_creds_id id = {.not_before = 1000, .not_after = 1000 + 100 * 86400};
        assert_string_equal(bl_creds_doubt(&id, 999), "not_yet_valid");
        assert_null(bl_creds_doubt(&id, 1000));
        assert_null(bl_creds_doubt(&id, 1000 + 86 * 86400));
        assert_string_equal(bl_creds_doubt(&id, 1001 + 86 * 86400), "expires_soon");
        assert_string_equal(bl_creds_doubt(&id, 1001 + 100 * 86400), "expired");
}

static void test_too_many(void **state)
{
        (void)state;
        static const struct bl_creds_pair pairs[BL_CREDS_IDS + 1];
        struct bl_creds *c = NULL;
        assert_int_equal(load(&(struct bl_creds_conf){.pairs = pairs, .n_pairs = BL_CREDS_IDS + 1}, &c), BL_ELIMIT);
        assert_null(c);
}

static void test_the_systems_issuers(void **state)
{
        (void)state;
        struct bl_creds *c = NULL;
        int rc = load(&(struct bl_creds_conf){.ca = BL_STR("system")}, &c);
        bool there = access("/etc/ssl/certs/ca-certificates.crt", R_OK) == 0;
        assert_int_equal(rc, there ? 0 : BL_EINVAL);
        if (!there)
                assert_non_null(strstr(said, "install ca-certificates"));
        bl_creds_unref(c);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_files_that_will_not_do),
                cmocka_unit_test(test_a_file_that_may_not_be_read),
                cmocka_unit_test(test_what_they_prove),
                cmocka_unit_test(test_doubts),
                cmocka_unit_test(test_too_many),
                cmocka_unit_test(test_the_systems_issuers),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
