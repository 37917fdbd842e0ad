/* A message is parsed and answered; a refusal has an offset within the input; a kept copy is the same. */
#include "fuzz/fuzz.h"

FUZZ_MEM(in, arena, pool)
{
        static const struct bl_addr source = {.family = 4, .ip = {192, 0, 2, 1}, .port = 5060};
        struct bl_response r = {.status = 400, .to_tag = BL_STR("t"), .record_route = true, .source = source};
        struct bl_parse_error error = {0};
        struct bl_msg *m = NULL, *kept = NULL;
        struct bl_buf *buf;
        if (bl_msg_parse(in, true, arena, &m, &error) == 0) {
                kept = bl_msg_keep(m, pool);
                MUST(kept && kept->octets.n == m->octets.n && bl_str_eq(kept->ruri, m->ruri));
        } else
                MUST(error.offset <= in.n && error.text && (!error.partial || error.status));
        const struct bl_msg *req = kept ? kept : error.partial;
        if (req && bl_write_response(pool, req, &r, &buf) == 0)
                bl_buf_unref(pool, buf);
}
