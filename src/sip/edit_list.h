/* What an edit is: for edit.c, which makes them, and write.c, which applies them. Private to sip/. */
#pragma once
#include "sip/edit.h"

enum bl_edit_kind {
        BL_EDIT_INSERT,  /* a line `name: value` at `at` */
        BL_EDIT_DROP,    /* the line that starts at `at` goes */
        BL_EDIT_REMOVE,  /* of the line that starts at `at`, the element `index` (of the whole header) goes */
        BL_EDIT_REPLACE, /* … or becomes `value` */
};

/*
 * The list is sorted by `at`, an offset into the original. At one offset stand first the lines inserted there, in the
 * order in which they will stand, then what happens to the line that starts there.
 */
