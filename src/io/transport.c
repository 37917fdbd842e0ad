/* The table of transports, and what is done for all of them. */
#include "io/transport.h"

#include "io/worker.h"

static const struct carrier *const carriers[] = {&bl_udp_carrier, &bl_tcp_carrier};

const struct transport bl_transports[BL_TP_COUNT] = {
        [BL_UDP] = {&bl_udp_carrier, NULL},
        [BL_TCP] = {&bl_tcp_carrier, NULL},
        [BL_TLS] = {&bl_tcp_carrier, &bl_secure_layer},
};

enum { CARRIERS = sizeof(carriers) / sizeof(*carriers) };

bool bl_world_speaks(enum bl_tp tp)
{
        return (unsigned)tp < BL_TP_COUNT && bl_transports[tp].on;
}

void bl_world_put_spoken(struct bl_sb *b)
{
        unsigned left = 0;
        for (unsigned i = 0; i < BL_TP_COUNT; i++)
                left += bl_world_speaks((enum bl_tp)i);
        for (unsigned i = 0; i < BL_TP_COUNT; i++) {
                if (!bl_world_speaks((enum bl_tp)i))
                        continue;
                struct bl_str name = bl_tp_name((enum bl_tp)i);
                for (size_t k = 0; k < name.n; k++)
                        bl_sb_addc(b, bl_lower(name.p[k]));
                left--;
                bl_sb_addz(b, left > 1 ? ", " : left ? " and " : "");
        }
}

int bl_transport_init(struct worker *w)
{
        int rc = 0;
        for (unsigned i = 0; i < CARRIERS; i++)
                carriers[i]->init(w);
        for (unsigned i = 0; rc == 0 && i < BL_TP_COUNT; i++)
                if (bl_transports[i].layer)
                        rc = bl_transports[i].layer->init(w);
        return rc;
}

void bl_transport_fini(struct worker *w)
{
        for (unsigned i = 0; i < BL_TP_COUNT; i++)
                if (bl_transports[i].layer)
                        bl_transports[i].layer->fini(w);
        for (unsigned i = 0; i < CARRIERS; i++)
                if (carriers[i]->fini)
                        carriers[i]->fini(w);
}

void bl_transport_flush(struct worker *w)
{
        for (unsigned i = 0; i < CARRIERS; i++)
                carriers[i]->flush(w);
}
