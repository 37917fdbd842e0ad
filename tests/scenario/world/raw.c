/* SIP ends written by hand. */
#include "scenario/world/raw.h"

#include <stdarg.h>
#include <stdlib.h>

#include "auth/digest_client.h"

enum { TEXT_MAX = 65536 };

static int flow_index(const struct raw *r, bl_flow_id id)
{
        for (unsigned i = 0; i < r->n_flows; i++)
                if (r->flow[i]->id == id)
                        return (int)i;
        return -1;
}

static void flow_add(struct raw *r, bl_flow_id id, enum bl_tp tp, bool ours)
{
        if (r->n_flows == RAW_FLOWS)
                abort();
        void *mem = calloc(1, sizeof(*r->flow[0]));
        if (!mem)
                abort();
        r->flow[r->n_flows] = mem;
        r->flow[r->n_flows]->id = id;
        r->flow[r->n_flows]->tp = tp;
        r->flow[r->n_flows]->ours = ours;
        r->n_flows++;
}

static void on_up(struct env *e, bl_flow_id id, const struct bl_peer *peer, void *user)
{
        struct raw *r = e->core;
        (void)user;
        int i = flow_index(r, id);
        if (i < 0) {
                flow_add(r, id, peer->tp, false);
                i = (int)r->n_flows - 1;
        }
        r->flow[i]->up = true;
        r->flow[i]->local = peer->local;
        r->flow[i]->remote = peer->remote;
}

static void on_down(struct env *e, bl_flow_id id, void *user, int why)
{
        struct raw *r = e->core;
        (void)user, (void)why;
        int i = flow_index(r, id);
        if (i < 0)
                return;
        free(r->flow[i]);
        r->n_flows--;
        for (unsigned k = (unsigned)i; k < r->n_flows; k++)
                r->flow[k] = r->flow[k + 1];
}

static void take_in(struct raw *r, bl_flow_id flow, struct bl_str octets)
{
        if (octets.n < 12 || (unsigned char)octets.p[0] < 4)
                return; /* keep-alives and STUN */
        if (r->n_in == RAW_KEPT)
                abort();
        struct raw_msg *m = &r->in[r->n_in];
        struct bl_parse_error err = {0};
        *m = (struct raw_msg){.at = r, .flow = flow, .text = bl_arena_str(r->arena, octets)};
        if (bl_msg_parse(m->text, true, r->arena, &m->m, &err) < 0)
                world_fail(r->w, __FILE__, __LINE__, "%s got what does not parse (%s):\n%.*s", r->name, err.text,
                           BL_STR_ARG(octets));
        r->n_in++;
        if (r->on && r->on(r, m))
                m->taken = true;
}

static void on_data(struct env *e, bl_flow_id id, void *user, struct bl_str octets, bool datagram)
{
        struct raw *r = e->core;
        (void)user;
        int i = flow_index(r, id);
        if (r->deaf || i < 0)
                return;
        if (datagram) {
                take_in(r, id, octets);
                return;
        }
        char *buf = r->flow[i]->buf;
        size_t *n = &r->flow[i]->n;
        if (*n + octets.n > sizeof(r->flow[i]->buf))
                abort();
        memcpy(buf + *n, octets.p, octets.n);
        *n += octets.n;
        for (int used; *n;) {
                enum bl_frame_kind kind;
                struct bl_str one;
                used = bl_frame_next(&r->flow[i]->st, bl_str_make(buf, *n), TEXT_MAX, &kind, &one);
                if (used <= 0)
                        break;
                if (kind == BL_FRAME_MESSAGE)
                        take_in(r, id, one);
                i = flow_index(r, id);
                memmove(buf, buf + used, *n - (size_t)used);
                *n -= (size_t)used;
                r->flow[i]->st = (struct bl_frame_state){0};
        }
}

static void on_writable(struct env *e, bl_flow_id id, void *user)
{
        (void)e, (void)id, (void)user;
}

static void raw_boot(struct sim_node *n, void *ctx)
{
        static const struct env_events ev = {.up = on_up, .down = on_down, .data = on_data, .writable = on_writable};
        sim_env(n, 0)->ev = &ev;
        sim_env(n, 0)->core = ctx;
}

static void raw_dead(struct sim_node *n, void *ctx)
{
        struct raw *r = ctx;
        (void)n;
        for (unsigned i = 0; i < r->n_flows; i++)
                free(r->flow[i]);
        r->n_flows = 0;
}

struct raw *raw_new(struct world *w, const char *name)
{
        static const struct sim_node_ops ops = {.boot = raw_boot, .dead = raw_dead};
        struct raw *r = calloc(1, sizeof(*r));
        if (!r || w->n_raws == WORLD_RAWS)
                abort();
        w->raws[w->n_raws++] = r;
        r->w = w;
        r->call = 1;
        r->arena = bl_arena_new((size_t)64 << 20);
        snprintf(r->name, sizeof(r->name), "%s", name);
        r->node = sim_node(w->sim, name, 1, &ops, r);
        sim_listen(r->node, BL_UDP, 5060);
        sim_listen(r->node, BL_TCP, 5060);
        sim_listen(r->node, BL_TLS, 5061);
        sim_start(r->node);
        return r;
}

void raw_free(struct raw *r)
{
        bl_arena_free(r->arena);
        free(r);
}

bl_flow_id raw_open(struct raw *r, enum bl_tp tp, const struct sim_node *to)
{
        struct env *e = sim_env(r->node, 0);
        struct bl_target t = {.tp = tp, .to = sim_addr(to, bl_tp_default_port(tp)), .listener = BL_LISTENER_NONE};
        bl_flow_id id = 0;
        sim_enter(e);
        if (e->ops->open(e, &t, NULL, &id) < 0)
                abort();
        flow_add(r, id, tp, true);
        sim_leave(e);
        WAIT(r->w, flow_index(r, id) < 0 || r->flow[flow_index(r, id)]->up, 40);
        return flow_index(r, id) < 0 ? 0 : id;
}

bl_flow_id raw_flow_of(struct raw *r, const struct sim_node *peer)
{
        bl_flow_id last = 0;
        for (unsigned i = 0; sim_flow_to(r->node, peer, i); i++)
                last = sim_flow_to(r->node, peer, i);
        return last;
}

void raw_close(struct raw *r, bl_flow_id flow)
{
        struct env *e = sim_env(r->node, 0);
        sim_enter(e);
        e->ops->close(e, flow, true);
        sim_leave(e);
}

void raw_new_call(struct raw *r)
{
        r->call++;
}

static const char *me(struct raw *r, enum bl_tp tp)
{
        char text[BL_ADDR_TEXT];
        struct bl_addr a = sim_addr(r->node, bl_tp_default_port(tp));
        struct bl_sb b = BL_SB(text);
        bl_addr_put(&b, &a);
        bl_sb_addc(&b, 0);
        return bl_arena_str(r->arena, bl_sb_str(&b)).p;
}

const char *raw_me(struct raw *r)
{
        return me(r, r->w->conf.tp);
}

/* --- writing --- */

static bool variable(struct raw *r, enum bl_tp tp, const char **at, struct bl_sb *out)
{
        static const char *const names[] = {"$ME", "$TP", "$BRANCH", "$LAST", "$TAG", "$CALL", "$N", "$M"};
        size_t i = 0;
        while (i < BL_ARRAY_LEN(names) && strncmp(*at, names[i], strlen(names[i])) != 0)
                i++;
        if (i == BL_ARRAY_LEN(names))
                return false;
        *at += strlen(names[i]);
        switch (i) {
        case 0:
                bl_sb_addz(out, me(r, tp));
                break;
        case 1:
                bl_sb_add(out, bl_tp_name(tp));
                break;
        case 2:
                r->branch++; /* fall through */
        case 3:
                bl_sb_fmt(out, "z9hG4bK-%s-%u", r->name, r->branch);
                break;
        case 4:
                bl_sb_fmt(out, "tag-of-%s", r->name);
                break;
        case 5:
                bl_sb_fmt(out, "call-%u@%s", r->call, r->name);
                break;
        case 6:
                r->cseq++; /* fall through */
        default:
                bl_sb_addu(out, r->cseq);
        }
        return true;
}

static struct bl_str expand(struct raw *r, enum bl_tp tp, const char *text)
{
        char *buf = bl_arena_alloc(r->arena, TEXT_MAX);
        struct bl_sb out = {buf, 0, TEXT_MAX, false};
        const char *body = strstr(text, "\n\n");
        size_t body_n = body ? strlen(body + 2) : 0;
        for (const char *at = text; *at && at != body;) {
                if (*at == '$' && variable(r, tp, &at, &out))
                        continue;
                if (*at == '\n' && at[1] == 0)
                        break; /* the last line's own end */
                if (*at == '\n')
                        bl_sb_addc(&out, '\r');
                bl_sb_addc(&out, *at++);
        }
        bl_sb_addz(&out, "\r\n");
        if (!strstr(text, "Content-Length:"))
                bl_sb_fmt(&out, "Content-Length: %zu\r\n", body_n);
        bl_sb_addz(&out, "\r\n");
        if (body)
                bl_sb_addz(&out, body + 2);
        return bl_sb_str(&out);
}

static void send_octets(struct raw *r, bl_flow_id flow, struct bl_str octets)
{
        struct env *e = sim_env(r->node, 0);
        struct sim *s = r->w->sim;
        bool inside = e->now == sim_now(s) && r->on; /* called from `on`: its turn is running */
        if (!inside)
                sim_enter(e);
        struct bl_buf *b = bl_buf_copy(e->pool, octets);
        int rc = env_send(e, flow, b);
        bl_buf_unref(e->pool, b);
        if (!inside)
                sim_leave(e);
        if (rc < 0)
                world_fail(r->w, __FILE__, __LINE__, "%s cannot send: %s", r->name, bl_err_text(rc));
}

void raw_send(struct raw *r, bl_flow_id flow, const char *fmt, ...)
{
        char *text = bl_arena_alloc(r->arena, TEXT_MAX);
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(text, TEXT_MAX, fmt, ap);
        va_end(ap);
        int i = flow_index(r, flow);
        if (i < 0)
                world_fail(r->w, __FILE__, __LINE__, "%s has no such flow any more", r->name);
        send_octets(r, flow, expand(r, r->flow[i]->tp, text));
}

/* --- reading --- */

static struct raw_msg *find(struct raw *r, const char *start)
{
        for (unsigned i = 0; i < r->n_in; i++)
                if (!r->in[i].taken && bl_str_starts(r->in[i].text, bl_str_z(start)))
                        return &r->in[i];
        return NULL;
}

struct raw_msg *raw_got(struct raw *r, const char *start)
{
        struct raw_msg *m = find(r, start);
        if (m)
                m->taken = true;
        return m;
}

struct raw_msg *raw_expect(struct raw *r, const char *start)
{
        bl_us end = sim_now(r->w->sim) + BL_SEC(40);
        while (!find(r, start) && world_step(r->w, end))
                ;
        struct raw_msg *m = raw_got(r, start);
        if (!m)
                world_fail(r->w, __FILE__, __LINE__, "%s waited for \"%s\" in vain", r->name, start);
        return m;
}

void raw_expect_nothing(struct raw *r, const char *start, double seconds)
{
        world_pass(r->w, seconds);
        struct raw_msg *m = find(r, start);
        if (m)
                world_fail(r->w, __FILE__, __LINE__, "%s should not have got:\n%.*s", r->name, BL_STR_ARG(m->text));
}

unsigned raw_count(struct raw *r, const char *start)
{
        unsigned n = 0;
        for (unsigned i = 0; i < r->n_in; i++)
                n += bl_str_starts(r->in[i].text, bl_str_z(start));
        return n;
}

const char *raw_list(struct raw_msg *m, const char *name)
{
        struct raw *r = m->at;
        char *buf = bl_arena_alloc(r->arena, TEXT_MAX);
        struct bl_sb b = {buf, 0, TEXT_MAX - 1, false};
        for (unsigned i = 0; i < m->m->n; i++) {
                const struct bl_hdr *h = &m->m->h[i];
                if (!bl_str_ieq(bl_hdr_name(m->m, h), bl_str_z(name)) &&
                    !(h->id != BL_H_OTHER && h->id == bl_hid_from(bl_str_z(name))))
                        continue;
                if (b.n)
                        bl_sb_addz(&b, ", ");
                bl_sb_add(&b, bl_hdr_value(m->m, h));
        }
        buf[b.n] = 0;
        return buf;
}

const char *raw_header(struct raw_msg *m, const char *name)
{
        struct bl_str v = text_header(m->text, name);
        char *z = bl_arena_alloc(m->at->arena, v.n + 1);
        if (v.n)
                memcpy(z, v.p, v.n);
        z[v.n] = 0;
        return z;
}

/* --- answering --- */

static void copy_headers(struct bl_sb *out, const struct bl_msg *m, enum bl_hid id)
{
        for (const struct bl_hdr *h = bl_msg_first(m, id); h; h = bl_msg_next(m, h)) {
                bl_sb_add(out, bl_hid_name(id));
                bl_sb_addz(out, ": ");
                bl_sb_add(out, bl_hdr_value(m, h));
                if (id == BL_H_TO && m->to_tag.n == 0)
                        bl_sb_addz(out, ";tag=$TAG");
                bl_sb_addz(out, "\n");
        }
}

void raw_reply(struct raw_msg *m, unsigned status, const char *headers)
{
        struct raw *r = m->at;
        char *buf = bl_arena_alloc(r->arena, TEXT_MAX);
        struct bl_sb b = {buf, 0, TEXT_MAX - 1, false};
        bl_sb_fmt(&b, "SIP/2.0 %u Hand Made\n", status);
        static const enum bl_hid ids[] = {BL_H_VIA, BL_H_FROM, BL_H_TO, BL_H_CALL_ID, BL_H_CSEQ, BL_H_RECORD_ROUTE};
        for (size_t i = 0; i < BL_ARRAY_LEN(ids); i++)
                if (ids[i] != BL_H_RECORD_ROUTE || (status > 100 && status < 300))
                        copy_headers(&b, m->m, ids[i]);
        bl_sb_addz(&b, headers);
        buf[b.n] = 0;
        int i = flow_index(r, m->flow);
        if (i >= 0)
                send_octets(r, m->flow, expand(r, r->flow[i]->tp, buf));
}

const char *raw_authorize(struct raw_msg *challenge, const char *user, const char *password, const char *method,
                          const char *uri)
{
        struct raw *r = challenge->at;
        struct bl_digest_session s;
        memset(&s, 0, sizeof(s));
        if (bl_digest_take(&s, challenge->m) < 0)
                world_fail(r->w, __FILE__, __LINE__, "%s got no challenge it can answer:\n%.*s", r->name,
                           BL_STR_ARG(challenge->text));
        char *buf = bl_arena_alloc(r->arena, 2048);
        struct bl_sb b = {buf, 0, 2047, false};
        bl_digest_answer(&s, bl_str_z(user), bl_str_z(password), bl_str_z(method), bl_str_z(uri),
                         (const uint8_t[8]){1, 2, 3, 4, 5, 6, 7, 8}, &b);
        buf[b.n] = 0;
        buf[strcspn(buf, "\r\n")] = 0;
        return buf;
}
