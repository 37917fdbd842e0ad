/* Keep-alives as client (RFC 5626 section 4.4) and STUN both ways. */
#include "flow/internal.h"
#include "sip/stun.h"

struct bl_flow_stun {              /* most flows need none */
        struct bl_addr mapped;     /* what the far end's answers say we are; family 0: none came yet */
        uint8_t here[8], there[8]; /* what this flow is called in answers; all 0: not yet */
};

/* NULL without memory: then nothing is remembered. */
static struct bl_flow_stun *stun_of(struct bl_flow *f)
{
        if (!f->_stun)
                f->_stun = bl_pool_zalloc(f->_flows->env->pool, sizeof(*f->_stun));
        return f->_stun;
}

void bl_keepalive_fini(struct bl_flow *f)
{
        bl_pool_give(f->_flows->env->pool, f->_stun, sizeof(*f->_stun));
}

/* Nothing is stored for a transaction id: it follows from the flow and the moment. */
static void stun_id(const struct bl_flow *f, uint8_t id[12])
{
        uint64_t h = bl_hash_mix(f->_flows->env->hash_seed ^ f->id, f->_ping_sent);
        uint32_t gen = bl_flow_gen(f->id) ^ (uint32_t)f->_ping_sent;
        memcpy(id, &h, 8);
        memcpy(id + 8, &gen, 4);
}

static void send_ping(struct bl_flow *f, uint32_t wait_ms)
{
        struct env *env = f->_flows->env;
        f->_ping_sent = env->now ? env->now : 1;
        if (f->tp == BL_UDP) {
                uint8_t id[12], out[BL_STUN_MAX];
                stun_id(f, id);
                int n = bl_stun_request(id, out);
                if (f->_asks)
                        n = bl_stun_put_flow(out, n, NULL);
                bl_flow_send_text(f, out, (size_t)n);
        } else {
                bl_flow_send_text(f, "\r\n\r\n", 4);
        }
        env_arm_in(env, &f->_ping, BL_MS(wait_ms));
}

static void on_ping(struct bl_timer *timer)
{
        struct bl_flow *f = BL_CONTAINER(timer, struct bl_flow, _ping);
        struct bl_flows *fs = f->_flows;
        if (!f->_ping_sent) {
                send_ping(f, f->_ping_wait_ms);
        } else if (f->heard_at > f->_ping_sent) {
                bl_keepalive_pong(f); /* the pong is behind a long message, but the far end lives */
        } else {
                bl_count(fs->ping_timeouts);
                bl_flow_close_why(f, false, BL_ETIMEOUT);
        }
}

void bl_keepalive_start(struct bl_flow *f)
{
        bool silent = f->_ping_sent && f->heard_at <= f->_ping_sent; /* since the ping that is under way */
        bl_us due = silent ? f->_ping._at : UINT64_MAX;
        f->_ping.fire = on_ping;
        send_ping(f, f->_ping_wait_ms);
        if (due < f->_ping._at) /* asked again and again, a dead far end would never be found out */
                env_arm(f->_flows->env, &f->_ping, due);
}

void bl_keepalive_pong(struct bl_flow *f)
{
        struct bl_flows *fs = f->_flows;
        if (!f->_ping_sent) {
                bl_count(fs->ignored); /* a single CRLF is some clients' keep-alive */
                return;
        }
        bl_us next = f->_ping_sent + BL_MS(f->_ping_every_ms);
        f->_ping_sent = 0;
        if (f->_ping_every_ms)
                env_arm(fs->env, &f->_ping, next > fs->env->now ? next : fs->env->now);
        else
                env_disarm(fs->env, &f->_ping); /* a probe's */
        bl_count(fs->pongs);
        if (fs->user.pong)
                fs->user.pong(fs->ctx, f);
}

static bool is_zero(const uint8_t v[8])
{
        static const uint8_t zero[8];
        return memcmp(v, zero, sizeof(zero)) == 0;
}

/* The answer says what the flow is called, if that was asked. Random: nothing else follows from it. */
static int put_known(struct bl_flow *f, struct bl_str request, uint8_t *out, int n)
{
        struct env *env = f->_flows->env;
        struct bl_str asked;
        struct bl_flow_stun *stun = bl_stun_get_flow(request, &asked) ? stun_of(f) : NULL;
        if (!stun)
                return n;
        if (is_zero(stun->here))
                env->ops->random(env, stun->here, sizeof(stun->here));
        return bl_stun_put_flow(out, n, stun->here);
}

/* False: the far end knows another flow by this 5-tuple than it did. */
static bool still_known(struct bl_flow *f, struct bl_str answer)
{
        struct bl_flow_stun *stun = stun_of(f);
        struct bl_str said;
        if (!stun || !f->_asks || !bl_stun_get_flow(answer, &said) || said.n != sizeof(stun->there))
                return true;
        bool known = is_zero(stun->there) || memcmp(stun->there, said.p, said.n) == 0;
        memcpy(stun->there, said.p, said.n);
        return known;
}

void bl_flow_ask_known(struct bl_flow *f)
{
        f->_asks = f->tp == BL_UDP;
}

void bl_keepalive_stun(struct bl_flow *f, struct bl_str datagram)
{
        struct bl_flows *fs = f->_flows;
        uint8_t id[12], out[BL_STUN_MAX];
        struct bl_addr mapped;
        int n = bl_stun_answer(datagram, &f->remote, out);
        if (n > 0) {
                bl_count(fs->pings);
                if (out[1] == 0x01) /* a success response */
                        n = put_known(f, datagram, out, n);
                bl_flow_send_text(f, out, (size_t)n);
                return;
        }
        stun_id(f, id);
        int rc = f->_ping_sent ? bl_stun_parse_response(datagram, id, &mapped) : BL_ENOENT;
        if (rc == 0 && f->_stun && f->_stun->mapped.family && !bl_addr_eq(&mapped, &f->_stun->mapped)) {
                /* RFC 5626 4.4.2: a NAT has forgotten us; the flow that the far end knows is no more. */
                bl_count(fs->rebound);
                bl_flow_close_why(f, false, BL_EGONE);
                return;
        }
        if (rc == 0 && !still_known(f, datagram)) {
                bl_count(fs->forgotten);
                bl_flow_close_why(f, false, BL_EGONE);
                return;
        }
        if (rc == 0 && stun_of(f))
                f->_stun->mapped = mapped;
        if (rc == 0 || rc == BL_EREFUSED) /* an error response proves life as well */
                bl_keepalive_pong(f);
        else
                bl_count(fs->ignored);
}

void bl_flow_keepalive(struct bl_flow *f, uint32_t every_ms, uint32_t wait_ms)
{
        f->_ping_every_ms = every_ms;
        f->_ping_wait_ms = wait_ms;
        if (f->state != BL_FLOW_UP)
                return;
        if (every_ms) {
                bl_keepalive_start(f);
        } else {
                f->_ping_sent = 0;
                env_disarm(f->_flows->env, &f->_ping);
        }
}

void bl_flow_probe(struct bl_flow *f, uint32_t wait_ms)
{
        struct env *env = f->_flows->env;
        bl_us due = env->now + BL_MS(wait_ms);
        if (f->state != BL_FLOW_UP)
                return;
        f->_ping.fire = on_ping;
        if (!f->_ping_sent)
                send_ping(f, wait_ms);
        else if (due < f->_ping._at)
                env_arm(env, &f->_ping, due);
}
