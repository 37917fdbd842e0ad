/* Whole files, with messages for people. */
#pragma once
#include "base/base.h"

/*
 * Reads a file of at most `max` octets. 0: *ret_text is NUL-terminated behind its end and freed by bl_file_free. Else
 * -errno or BL_ELIMIT, and one line in err: "PATH (WHAT): why; HINT".
 */
int bl_file_read(const char *path, const char *what, const char *hint, size_t max, struct bl_sb *err,
                 struct bl_str *ret_text);
void bl_file_free(struct bl_str text); /* wipes it first: it may hold secrets */
/* Replaces a file in one step, so that a reader never sees half of it: writes PATH.new, syncs, renames. 0 or -errno. */
int bl_file_replace(const char *path, struct bl_str text);
bool bl_file_is_open_to_others(const char *path); /* others than owner and group may read it */
