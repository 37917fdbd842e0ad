/* Intrusive doubly linked list with a sentinel head. A zeroed link is "not in a list". */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct bl_link {
        struct bl_link *next, *prev;
};

static inline void bl_list_init(struct bl_link *head)
{
        head->next = head->prev = head;
}
static inline bool bl_list_empty(const struct bl_link *head)
{
        return head->next == head;
}
static inline bool bl_link_linked(const struct bl_link *l)
{
        return l->next != NULL;
}
static inline void bl_list_add_after(struct bl_link *at, struct bl_link *l)
{
        l->prev = at;
        l->next = at->next;
        at->next->prev = l;
        at->next = l;
}
static inline void bl_list_push_front(struct bl_link *head, struct bl_link *l)
{
        bl_list_add_after(head, l);
}
static inline void bl_list_push_back(struct bl_link *head, struct bl_link *l)
{
        bl_list_add_after(head->prev, l);
}
static inline void bl_list_remove(struct bl_link *l) /* accepts one that is in no list */
{
        if (!l->next)
                return;
        l->prev->next = l->next;
        l->next->prev = l->prev;
        l->next = l->prev = NULL;
}
#define BL_LIST_EACH(var, head) for (struct bl_link *var = (head)->next; var != (head); var = var->next)
/* Safe against removal of the current link. */
#define BL_LIST_EACH_SAFE(var, head)                                                                                   \
        for (struct bl_link *var = (head)->next, *var##_next = var->next; var != (head);                               \
             var = var##_next, var##_next = var->next)
