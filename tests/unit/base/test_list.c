#include "base/list.h"

#include "base/base.h"
#include "unit/unit.h"

struct item {
        struct bl_link link;
        char name;
};

static void assert_order(struct bl_link *head, const char *want)
{
        char mem[16];
        struct bl_sb b = BL_SB(mem);
        BL_LIST_EACH(l, head)
        {
                assert_ptr_equal(l->next->prev, l);
                bl_sb_addc(&b, BL_CONTAINER(l, struct item, link)->name);
        }
        assert_str(bl_sb_str(&b), want);
}

static void keeps_order(void **state)
{
        struct bl_link head;
        struct item a = {.name = 'a'}, b = {.name = 'b'}, c = {.name = 'c'}, d = {.name = 'd'};
        (void)state;
        bl_list_init(&head);
        assert_true(bl_list_empty(&head));
        assert_false(bl_link_linked(&a.link));
        bl_list_push_back(&head, &b.link);
        bl_list_push_back(&head, &d.link);
        bl_list_push_front(&head, &a.link);
        bl_list_add_after(&b.link, &c.link);
        assert_order(&head, "abcd");
        assert_true(bl_link_linked(&c.link));
        bl_list_remove(&c.link);
        assert_false(bl_link_linked(&c.link));
        bl_list_remove(&c.link); /* in no list: nothing happens */
        assert_order(&head, "abd");
        bl_list_push_back(&head, &c.link);
        assert_order(&head, "abdc");
}

static void a_walk_may_remove_what_it_visits(void **state)
{
        struct bl_link head;
        struct item items[5] = {{.name = 'a'}, {.name = 'b'}, {.name = 'c'}, {.name = 'd'}, {.name = 'e'}};
        (void)state;
        bl_list_init(&head);
        for (unsigned i = 0; i < 5; i++)
                bl_list_push_back(&head, &items[i].link);
        BL_LIST_EACH_SAFE(l, &head)
        {
                if (BL_CONTAINER(l, struct item, link)->name != 'c')
                        bl_list_remove(l);
        }
        assert_order(&head, "c");
        BL_LIST_EACH_SAFE(l, &head)
        {
                bl_list_remove(l);
        }
        assert_true(bl_list_empty(&head));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(keeps_order),
                cmocka_unit_test(a_walk_may_remove_what_it_visits),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
