#include "unit/unit.h"

#include <ctype.h>

#include "sip/hid.h"
#include "sip/names.h"
#include "unit/guard.h"

static void methods(void **state)
{
        (void)state;
        for (unsigned m = BL_M_UNKNOWN + 1; m < BL_M__COUNT; m++) {
                struct bl_str name = bl_method_name((enum bl_method)m);

                assert_true(name.n > 0);
                assert_int_equal(bl_method_from(name), m);
                assert_int_equal(bl_method_from(bl_str_make(name.p, name.n - 1)), BL_M_UNKNOWN);
        }
        assert_int_equal(bl_method_from(BL_STR("invite")), BL_M_UNKNOWN); /* RFC 3261 7.1 */
        assert_int_equal(bl_method_from(BL_STR("INVITES")), BL_M_UNKNOWN);
        assert_int_equal(bl_method_from(BL_STR("")), BL_M_UNKNOWN);
        assert_int_equal(bl_method_name(BL_M_UNKNOWN).n, 0);
        assert_true(bl_method_forms_dialog(BL_M_INVITE) && bl_method_forms_dialog(BL_M_SUBSCRIBE));
        assert_true(bl_method_forms_dialog(BL_M_REFER));
        assert_false(bl_method_forms_dialog(BL_M_BYE) || bl_method_forms_dialog(BL_M_NOTIFY));
}

/* Every name is found in any case, and nothing that differs from it in one octet. */
static void headers(void **state)
{
        struct guard *g = guard_new(64);

        (void)state;
        for (unsigned id = BL_H_OTHER + 1; id < BL_H__COUNT; id++) {
                struct bl_str name = bl_hid_name((enum bl_hid)id), s;
                char text[64];

                assert_true(name.n > 1 && name.n < sizeof text);
                for (size_t i = 0; i < name.n; i++)
                        text[i] = (char)tolower(name.p[i]);
                if (bl_hid_from(guard_str(g, name)) != id)
                        fail_msg("%.*s is not found: its slot in hid.c is %u", BL_STR_ARG(name),
                                 bl_hid_slot(text, name.n));
                for (size_t i = 0; i < name.n; i++)
                        text[i] = (char)(i % 2 ? toupper(name.p[i]) : tolower(name.p[i]));
                s = guard_str(g, bl_str_make(text, name.n));
                assert_int_equal(bl_hid_from(s), id);
                for (size_t i = 0; i < name.n; i++) {
                        for (int c = 0; c < 256; c++) {
                                struct bl_str v = guard_str(g, name);

                                if (tolower(c) == tolower(name.p[i]))
                                        continue;
                                memcpy((char *)(uintptr_t)v.p + i, &(char){(char)c}, 1);
                                if (bl_hid_from(v) == id)
                                        fail_msg("%.*s is not %.*s", BL_STR_ARG(v), BL_STR_ARG(name));
                        }
                        if (i != 1) /* one letter is the compact form */
                                assert_int_not_equal(bl_hid_from(guard_str(g, bl_str_make(name.p, i))), id);
                }
        }
        guard_free(g);
        assert_int_equal(bl_hid_from(BL_STR("")), BL_H_OTHER);
        assert_int_equal(bl_hid_from(BL_STR("Subject")), BL_H_OTHER);
        assert_int_equal(bl_hid_from(BL_STR("outbound-PROXIES")), BL_H_OUTBOUND_PROXY);
        assert_int_equal(bl_hid_name(BL_H_OTHER).n, 0);
}

static void compact(void **state)
{
        static const struct {
                char letter;
                enum bl_hid id;
        } rows[] = {{'v', BL_H_VIA},          {'f', BL_H_FROM},           {'t', BL_H_TO},
                    {'i', BL_H_CALL_ID},      {'m', BL_H_CONTACT},        {'l', BL_H_CONTENT_LENGTH},
                    {'c', BL_H_CONTENT_TYPE}, {'k', BL_H_SUPPORTED},      {'o', BL_H_EVENT},
                    {'r', BL_H_REFER_TO},     {'x', BL_H_SESSION_EXPIRES}};

        (void)state;
        for (int c = 0; c < 256; c++) {
                enum bl_hid want = BL_H_OTHER;

                for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
                        if (rows[i].letter == tolower(c))
                                want = rows[i].id;
                assert_int_equal(bl_hid_from(bl_str_make(&(char){(char)c}, 1)), want);
        }
}

static void lists(void **state)
{
        (void)state;
        assert_true(bl_hid_is_list(BL_H_VIA) && bl_hid_is_list(BL_H_ROUTE) && bl_hid_is_list(BL_H_SUPPORTED));
        assert_true(bl_hid_is_list(BL_H_CONTACT) && bl_hid_is_list(BL_H_OUTBOUND_PROXY));
        /* their commas are no separators */
        assert_false(bl_hid_is_list(BL_H_DATE) || bl_hid_is_list(BL_H_WWW_AUTHENTICATE) || bl_hid_is_list(BL_H_OTHER));
        assert_false(bl_hid_is_list(BL_H_AUTHORIZATION) || bl_hid_is_list(BL_H_FROM) ||
                     bl_hid_is_list(BL_H_USER_AGENT));
}

static void phrases(void **state)
{
        (void)state;
        assert_str(bl_status_phrase(100), "Trying");
        assert_str(bl_status_phrase(200), "OK");
        assert_str(bl_status_phrase(305), "Use Proxy");
        assert_str(bl_status_phrase(416), "Unsupported URI Scheme");
        assert_str(bl_status_phrase(430), "Flow Failed");
        assert_str(bl_status_phrase(439), "First Hop Lacks Outbound Support");
        assert_str(bl_status_phrase(440), "Max-Breadth Exceeded");
        assert_str(bl_status_phrase(513), "Message Too Large");
        assert_str(bl_status_phrase(606), "Not Acceptable");
        assert_str(bl_status_phrase(299), "Unknown");
        assert_str(bl_status_phrase(0), "Unknown");
        assert_str(bl_status_phrase(70000), "Unknown");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(methods), cmocka_unit_test(headers), cmocka_unit_test(compact),
                cmocka_unit_test(lists),   cmocka_unit_test(phrases),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
