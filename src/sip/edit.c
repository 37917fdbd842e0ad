#include <assert.h>

#include "sip/edit_list.h"

void bl_edits_init(struct bl_edits *e, const struct bl_msg *m, struct bl_arena *arena)
{
        memset(e, 0, offsetof(struct bl_edits, _own));
        e->msg = m;
        e->arena = arena;
}

static struct bl_edit *edit_new(struct bl_edits *e, enum bl_edit_kind kind, enum bl_hid id, uint32_t at)
{
        struct bl_edit *d = e->_n < BL_EDITS_OWN ? &e->_own[e->_n++] : bl_arena_alloc(e->arena, sizeof *d);

        if (!d) {
                e->_failed = true;
                return NULL;
        }
        d->hdr = d->index = 0;
        d->name = d->value = bl_str_make(NULL, 0);
        d->kind = (uint8_t)kind;
        d->id = (uint8_t)id;
        d->at = at;
        return d;
}

/* Links `d` in before `next` (NULL: last). */
static void link_before(struct bl_edits *e, struct bl_edit *next, struct bl_edit *d)
{
        struct bl_edit *prev = next ? next->prev : e->_tail;

        d->next = next;
        d->prev = prev;
        *(prev ? &prev->next : &e->_head) = d;
        *(next ? &next->prev : &e->_tail) = d;
}

static void unlink_edit(struct bl_edits *e, struct bl_edit *d)
{
        *(d->prev ? &d->prev->next : &e->_head) = d->next;
        *(d->next ? &d->next->prev : &e->_tail) = d->prev;
}

/* Where a line belongs that has no other of its name: above Content-Length, else at the end of the headers. */
static uint32_t default_place(const struct bl_msg *m)
{
        const struct bl_hdr *h = bl_msg_first(m, BL_H_CONTENT_LENGTH);

        return h ? h->name : m->body_off - 2;
}

/* The first edit that comes behind an insert at `at`, as first or last of the inserts there. */
static struct bl_edit *place(const struct bl_edits *e, uint32_t at, bool first)
{
        struct bl_edit *d = e->_head;

        while (d && (d->at < at || (!first && d->at == at && d->kind == BL_EDIT_INSERT)))
                d = d->next;
        return d;
}

static struct bl_edit *insert(struct bl_edits *e, enum bl_hid id, struct bl_str name, struct bl_str value, uint32_t at,
                              struct bl_edit *next)
{
        struct bl_edit *d = edit_new(e, BL_EDIT_INSERT, id, at);

        if (d) {
                d->name = name;
                d->value = value;
                link_before(e, next, d);
        }
        return d;
}

/* The topmost inserted line of that id that stands at or above offset `limit`. */
static struct bl_edit *first_insert(const struct bl_edits *e, enum bl_hid id, uint32_t limit)
{
        for (struct bl_edit *d = e->_head; d && d->at <= limit; d = d->next)
                if (d->kind == BL_EDIT_INSERT && d->id == id)
                        return d;
        return NULL;
}

/* The lowest one at or below `limit`. */
static struct bl_edit *last_insert(const struct bl_edits *e, enum bl_hid id, uint32_t limit)
{
        for (struct bl_edit *d = e->_tail; d && d->at >= limit; d = d->prev)
                if (d->kind == BL_EDIT_INSERT && d->id == id)
                        return d;
        return NULL;
}

/* Content-Length is bl_write's and bl_edit_body's alone, and a header without a name of ours has bl_edit_append_named.
 */
static bool is_editable(enum bl_hid id)
{
        assert(id != BL_H_OTHER);
        return id != BL_H_CONTENT_LENGTH && id != BL_H_OTHER;
}

void bl_edit_ruri(struct bl_edits *e, struct bl_str uri)
{
        e->_ruri = uri;
        e->_has_ruri = true;
}

void bl_edit_status(struct bl_edits *e, unsigned status, struct bl_str reason)
{
        e->_status = (uint16_t)status;
        e->_reason = reason.n ? reason : bl_status_phrase(status);
}

void bl_edit_push(struct bl_edits *e, enum bl_hid id, struct bl_str value)
{
        const struct bl_hdr *h = bl_msg_first(e->msg, id);
        uint32_t at = h ? h->name : id == BL_H_VIA ? e->msg->headers_off : default_place(e->msg);
        struct bl_edit *above = first_insert(e, id, h ? at : UINT32_MAX);

        if (!is_editable(id))
                return;
        if (above)
                insert(e, id, bl_hid_name(id), value, above->at, above);
        else
                insert(e, id, bl_hid_name(id), value, at, place(e, at, false));
}

static void append(struct bl_edits *e, enum bl_hid id, struct bl_str name, struct bl_str value)
{
        const struct bl_hdr *h = id != BL_H_OTHER && bl_msg_has(e->msg, id) ? &e->msg->h[e->msg->last[id]] : NULL;
        uint32_t at = h ? h->name + h->line_len : default_place(e->msg);
        struct bl_edit *below = last_insert(e, id, h ? at : 0);

        if (below && id != BL_H_OTHER)
                insert(e, id, name, value, below->at, below->next);
        else
                insert(e, id, name, value, at, place(e, at, h != NULL));
}

void bl_edit_append(struct bl_edits *e, enum bl_hid id, struct bl_str value)
{
        if (is_editable(id))
                append(e, id, bl_hid_name(id), value);
}

void bl_edit_append_named(struct bl_edits *e, struct bl_str name, struct bl_str value)
{
        enum bl_hid id = bl_hid_from(name);

        if (id == BL_H_OTHER || is_editable(id))
                append(e, id, name, value);
}

static void drop_lines(struct bl_edits *e, enum bl_hid id)
{
        const struct bl_msg *m = e->msg;

        for (struct bl_edit *d = e->_head, *next; d; d = next) {
                next = d->next;
                if (d->id == id)
                        unlink_edit(e, d);
        }
        for (const struct bl_hdr *h = bl_msg_first(m, id); h; h = bl_msg_next(m, h)) {
                struct bl_edit *d = edit_new(e, BL_EDIT_DROP, id, h->name);

                if (!d)
                        return;
                d->hdr = (uint16_t)(h - m->h);
                link_before(e, place(e, h->name, false), d);
        }
}

static void set(struct bl_edits *e, enum bl_hid id, struct bl_str value)
{
        const struct bl_hdr *h = bl_msg_first(e->msg, id);
        uint32_t at = h ? h->name : default_place(e->msg);

        drop_lines(e, id);
        insert(e, id, bl_hid_name(id), value, at, place(e, at, false));
}

void bl_edit_remove(struct bl_edits *e, enum bl_hid id)
{
        if (is_editable(id))
                drop_lines(e, id);
}

void bl_edit_set(struct bl_edits *e, enum bl_hid id, struct bl_str value)
{
        if (is_editable(id))
                set(e, id, value);
}

/* The line that element `index` stands in, BL_HDR_NONE: there is no such element. */
static uint16_t line_of(const struct bl_msg *m, enum bl_hid id, unsigned index)
{
        struct bl_values it = {0};
        struct bl_str first = bl_msg_value(m, id);

        if (index == 0 && first.n && *first.p != ',') /* nearly always */
                return m->first[id];
        while (bl_msg_values(m, id, &it) && it.index != index)
                continue;
        return it.hdr;
}

/* A change of one element; a later one of the same element takes the earlier one's place. */
static void change_value(struct bl_edits *e, enum bl_hid id, unsigned index, enum bl_edit_kind kind,
                         struct bl_str value)
{
        struct bl_edit *d, *next;
        uint16_t hdr;
        uint32_t at;

        if (!is_editable(id))
                return;
        hdr = line_of(e->msg, id, index);
        if (hdr == BL_HDR_NONE)
                return; /* no such element */
        at = e->msg->h[hdr].name;
        next = place(e, at, false);
        for (d = next; d && d->at == at; d = d->next) {
                if (d->kind == BL_EDIT_DROP)
                        return; /* its line is gone already */
                if (d->index == index)
                        break;
        }
        if (!d || d->at != at) {
                d = edit_new(e, kind, id, at);
                if (!d)
                        return;
                link_before(e, next, d);
        }
        d->kind = (uint8_t)kind;
        d->hdr = hdr;
        d->index = (uint16_t)index;
        d->value = value;
}

void bl_edit_remove_value(struct bl_edits *e, enum bl_hid id, unsigned index)
{
        change_value(e, id, index, BL_EDIT_REMOVE, bl_str_make("", 0));
}

void bl_edit_replace_value(struct bl_edits *e, enum bl_hid id, unsigned index, struct bl_str value)
{
        change_value(e, id, index, BL_EDIT_REPLACE, value);
}

void bl_edit_body(struct bl_edits *e, struct bl_str body)
{
        char text[10];
        struct bl_sb digits = BL_SB(text);
        struct bl_str length;

        bl_sb_addu(&digits, body.n);
        length = bl_arena_str(e->arena, bl_sb_str(&digits));
        e->_failed |= length.n == 0;
        e->_body = body;
        e->_has_body = true;
        set(e, BL_H_CONTENT_LENGTH, length);
}
