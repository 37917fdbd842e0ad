/* A message is parsed and looked at in every way; a refusal has an offset within the input; a kept copy is the same. */
#include <stdlib.h>

#include "sip/write.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct bl_arena *arena = bl_arena_new(1 << 20);
        struct bl_pool *pool = bl_pool_new(0);
        struct bl_parse_error error = {0};
        struct bl_msg *m = NULL, *kept = NULL;
        struct bl_buf *buf = NULL;
        struct bl_addr source = {.family = 4, .ip = {192, 0, 2, 1}, .port = 5060};
        int rc = bl_msg_parse(bl_str_make((const char *)data, size), true, arena, &m, &error);
        if (rc < 0 && (error.offset > size || !error.text || (error.partial && !error.status)))
                abort();
        if (rc == 0 &&
            (!(kept = bl_msg_keep(m, pool)) || kept->octets.n != m->octets.n || !bl_str_eq(kept->ruri, m->ruri)))
                abort();
        const struct bl_msg *req = kept ? kept : error.partial;
        struct bl_response r = {.status = 400, .to_tag = BL_STR("t"), .record_route = true, .source = source};
        if (req && bl_write_response(pool, req, &r, &buf) == 0)
                bl_buf_unref(pool, buf);
        bl_pool_free(pool);
        bl_arena_free(arena);
        return 0;
}
