#include "store/store.h"

void bl_store_end(struct bl_store_op *op)
{
        struct bl_store_result *r = op->_state;

        if (r)
                r->release(r);
        bl_arena_free(op->_arena);
        op->_arena = NULL;
        op->_state = NULL;
        op->location = (struct bl_location){0};
        op->group = (struct bl_str){0};
        op->credentials = (struct bl_credentials){0};
}

void bl_store_cancel(struct bl_store *s, struct bl_store_op *op)
{
        if (s->ops->cancel)
                s->ops->cancel(s, op);
        op->_state = NULL; /* what it was for a pending call */
}
