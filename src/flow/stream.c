/*
 * Octets of a stream become messages (RFC 3261 section 18.3). As long as whole messages lie in the received octets they
 * are parsed where they are; only what is left over is copied, and what completes it is added piece by piece:
 *
 *      received   ████████│██████│███            two whole messages, then the beginning of a third
 *                                 └──► _in ███
 *      received   ██████│████████│               its end, then a whole one: parsed in place again
 *                 └──► _in █████████
 */
#include "flow/internal.h"

enum { PIECE = 1024 }; /* octets added at a time while the length of a message is unknown */

static void drop_in(struct bl_flow *f)
{
        bl_pool_give(f->_flows->env->pool, f->_in, f->_in_cap);
        f->_in = NULL;
        f->_in_len = f->_in_cap = 0;
        f->_partial_at = 0;
}

void bl_stream_fini(struct bl_flow *f)
{
        drop_in(f);
}

/* Half a message, not a CRLF that may still become a ping: from now on its end is due. */
static void note_partial(struct bl_flow *f)
{
        struct env *env = f->_flows->env;
        if (f->_partial_at || f->_in[0] == '\r')
                return;
        f->_partial_at = env->now;
        bl_us at = env->now + BL_MS(f->_flows->conf.partial_ms);
        if (!bl_timer_armed(&f->_idle) || f->_idle._at > at)
                env_arm(env, &f->_idle, at);
}

static bool append(struct bl_flow *f, struct bl_str octets)
{
        struct bl_pool *pool = f->_flows->env->pool;
        size_t want = f->_in_len + octets.n;
        if (want > f->_in_cap) {
                size_t cap = f->_in_cap ? f->_in_cap : 64;
                while (cap < want)
                        cap *= 2;
                if (f->_frame.need > cap)
                        cap = f->_frame.need; /* bounded by max_message */
                char *in = bl_pool_alloc(pool, cap);
                if (!in) {
                        bl_count(f->_flows->no_memory);
                        return false;
                }
                if (f->_in_len)
                        memcpy(in, f->_in, f->_in_len);
                bl_pool_give(pool, f->_in, f->_in_cap);
                f->_in = in;
                f->_in_cap = (uint32_t)cap;
        }
        memcpy(f->_in + f->_in_len, octets.p, octets.n);
        f->_in_len += (uint32_t)octets.n;
        return true;
}

/* The stream cannot be followed any more. The headers, when they are there, let the refusal be answered. */
static void lost(struct bl_flow *f, int rc, struct bl_str headers)
{
        struct bl_flows *fs = f->_flows;
        struct bl_parse_error err = {0}, refusal;
        struct bl_msg *m = NULL;
        refusal = rc == BL_ELIMIT ? (struct bl_parse_error){.status = 513, .text = "Message too large"}
                                  : (struct bl_parse_error){.status = 400, .text = "Bad framing or Content-Length"};
        if (headers.n) {
                int parsed = bl_msg_parse(headers, true, fs->arena, &m, &err);
                refusal.partial = parsed < 0 ? err.partial : m;
        }
        bl_flow_garbage(f, &refusal, true);
        bl_arena_reset(fs->arena);
        bl_flow_close_why(f, true, rc == BL_ELIMIT ? BL_ELIMIT : BL_EMALFORMED);
}

/* Looks at `in` once. > 0: octets consumed; 0: more are needed; < 0: the flow is closed. */
static int cut(struct bl_flow *f, struct bl_str in)
{
        enum bl_frame_kind kind;
        struct bl_str octets = {0};
        f->_frame.wait_pair = !f->_ping_sent;
        int rc = bl_frame_next(&f->_frame, in, f->_flows->conf.max_message, &kind, &octets);
        if (rc == BL_EMORE)
                return 0;
        if (rc < 0) {
                lost(f, rc, octets);
                return rc;
        }
        switch (kind) {
        case BL_FRAME_MESSAGE:
                bl_flow_message(f, octets, false);
                break;
        case BL_FRAME_PING: /* RFC 5626 3.5.1 */
                bl_count(f->_flows->pings);
                bl_flow_send_text(f, "\r\n", 2);
                break;
        case BL_FRAME_PONG:
                bl_keepalive_pong(f);
                break;
        }
        return rc;
}

/* Adds to the half message and looks again. Returns what of `octets` was used up; sets *closed when that is all over.
 */
static size_t complete(struct bl_flow *f, struct bl_str octets)
{
        size_t n = octets.n < PIECE ? octets.n : PIECE;
        if (f->_frame.need > f->_in_len) {
                size_t missing = f->_frame.need - f->_in_len;
                n = octets.n < missing ? octets.n : missing;
        }
        if (!append(f, bl_str_make(octets.p, n))) {
                bl_flow_close_why(f, false, BL_ENOMEM);
                return octets.n;
        }
        int used = cut(f, bl_str_make(f->_in, f->_in_len));
        if (used <= 0)
                return n;
        /* What came before was no whole message, so what is left over lies in the piece just added. */
        size_t left = f->_in_len - (size_t)used;
        drop_in(f);
        return n - left;
}

void bl_stream_data(struct bl_flow *f, struct bl_str octets)
{
        while (octets.n && f->state == BL_FLOW_UP) {
                if (f->_in) {
                        octets = bl_str_from(octets, complete(f, octets));
                        continue;
                }
                int used = cut(f, octets);
                if (used < 0)
                        return;
                if (used > 0) {
                        octets = bl_str_from(octets, (size_t)used);
                        continue;
                }
                if (!append(f, octets)) {
                        bl_flow_close_why(f, false, BL_ENOMEM);
                        return;
                }
                break;
        }
        if (f->_in && f->state == BL_FLOW_UP)
                note_partial(f);
}
