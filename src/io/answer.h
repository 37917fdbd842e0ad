/* Reading a DNS message (RFC 1035 section 4): the records of one RRset with their own TTLs. Pure; any thread. */
#pragma once
#include "env/env.h"

enum { BL_ANSWER_RECORDS = 64, BL_ANSWER_TEXT = 8192 };

struct bl_answer {
        int rc; /* 0, or BL_ENOENT: no such name */
        unsigned n;
        uint32_t neg_ttl;                   /* when n == 0: seconds that this holds, from the SOA (RFC 2308 section 5);
                                               0: not said */
        struct bl_rr rr[BL_ANSWER_RECORDS]; /* more are left out; texts point into `text` */
        char text[BL_ANSWER_TEXT];
        size_t text_used;
};
/* The records of `type` for the question's name, through CNAMEs (then no TTL is above theirs). 0; BL_EMALFORMED;
 * BL_EREFUSED: the server answers with a failure. *ret is written in any case. */
int bl_answer_parse(struct bl_str message, uint16_t type, struct bl_answer *ret);
