/*
 * Edits: what a proxy changes in a message, as a list over the original; the message itself stays as it came. Applied
 * by bl_write while it copies once; lines no edit touches go out octet for octet. Edits are few: a proxy makes about
 * five.
 *
 * Text passed in is borrowed until the edits are written (put it in the same arena). Order of calls is the order of
 * effects among inserts at one place: a later "top" insert stands above an earlier one. All allocate from the arena
 * given at init and remember failure: bl_write returns BL_ENOMEM then; no call needs checking.
 */
#pragma once
#include "sip/msg.h"

struct bl_edit { /* one; edit.c makes them, write.c applies them */
        struct bl_edit *next, *prev;
        uint32_t at;
        uint16_t hdr;   /* of the line, but for INSERT */
        uint16_t index; /* REMOVE, REPLACE */
        uint8_t kind, id;
        struct bl_str name, value;
};
enum { BL_EDITS_OWN = 8 /* without a look at the arena: what a proxy makes */ };
struct bl_edits {
        const struct bl_msg *msg;
        struct bl_arena *arena;
        struct bl_edit *_head, *_tail;
        struct bl_str _ruri;
        bool _has_ruri, _has_body, _failed;
        struct bl_str _body;
        uint16_t _status;
        struct bl_str _reason;
        unsigned _n;
        struct bl_edit _own[BL_EDITS_OWN]; /* not cleared */
};
/* `m`: one that bl_msg_parse accepted, or a kept copy. */
void bl_edits_init(struct bl_edits *e, const struct bl_msg *m, struct bl_arena *arena);

void bl_edit_ruri(struct bl_edits *e, struct bl_str uri);
void bl_edit_status(struct bl_edits *e, unsigned status, struct bl_str reason); /* responses */
/* A new line `Name: value` above the first line of that id (or, when there is none, before Content-Length / at the end;
 * Via: first). */
void bl_edit_push(struct bl_edits *e, enum bl_hid id, struct bl_str value);
/* A new line below the last of that id. */
void bl_edit_append(struct bl_edits *e, enum bl_hid id, struct bl_str value);
void bl_edit_append_named(struct bl_edits *e, struct bl_str name, struct bl_str value); /* any name */
/* All lines of that id give way to one, in the first one's place; appended when there was none. */
void bl_edit_set(struct bl_edits *e, enum bl_hid id, struct bl_str value);
void bl_edit_remove(struct bl_edits *e, enum bl_hid id);
/* One value of a list header, by its index (struct bl_values); the line goes when it was its only value. */
void bl_edit_remove_value(struct bl_edits *e, enum bl_hid id, unsigned index);
void bl_edit_replace_value(struct bl_edits *e, enum bl_hid id, unsigned index, struct bl_str value);
void bl_edit_body(struct bl_edits *e, struct bl_str body); /* and Content-Length */
