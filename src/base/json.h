/* Writes JSON (RFC 8259) into a bounded buffer: objects of flat members, commas by itself. Any thread. */
#pragma once
#include "base/str.h"

/* The characters of a JSON string without its quotes; what is not UTF-8 becomes U+FFFD, control characters \u00xx. */
void bl_json_escape(struct bl_sb *b, struct bl_str s);

struct bl_json { /* one object under way; keys are literals that need no escapes */
        struct bl_sb *b;
        size_t _start;
};
struct bl_json bl_json_begin(struct bl_sb *b); /* "{" */
void bl_json_str(struct bl_json *j, const char *key, struct bl_str v);
void bl_json_strz(struct bl_json *j, const char *key, const char *v);
void bl_json_int(struct bl_json *j, const char *key, int64_t v);
void bl_json_bool(struct bl_json *j, const char *key, bool v);
/* "}" and a line end. False, and nothing of it stays written, when it did not fit. */
bool bl_json_end(struct bl_json *j);
