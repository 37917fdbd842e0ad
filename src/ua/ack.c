/* Route sets on their way into requests, and ACKs for 2xx, which are requests without a transaction. */
#include "ua/internal.h"

static const struct bl_str NONE = {NULL, 0};

/* --- route sets --- */

/* The first value of a comma list of name-addrs, and the rest. Commas in <> and in quotes do not count. */
static struct bl_str cut_first(struct bl_str list, struct bl_str *ret_rest)
{
        int depth = 0;
        bool quoted = false;
        for (size_t i = 0; i < list.n; i++) {
                char c = list.p[i];
                if (quoted && c == '\\')
                        i++;
                else if (c == '"' && depth == 0)
                        quoted = !quoted;
                else if (!quoted) {
                        depth += c == '<';
                        depth -= c == '>';
                        if (c == ',' && depth == 0) {
                                *ret_rest = bl_str_trim(bl_str_from(list, i + 1));
                                return bl_str_trim(bl_str_make(list.p, i));
                        }
                }
        }
        *ret_rest = NONE;
        return list;
}

void route_plan(struct route *way, struct bl_str target, struct bl_str routes)
{
        struct bl_nameaddr na;
        *way = (struct route){.next = target, .ruri = target};
        way->top = cut_first(routes, &way->rest);
        if (way->top.n == 0 || bl_nameaddr_parse(way->top, &na) < 0)
                return;
        way->next = na.uri.all;
        if (bl_uri_is_lr(&na.uri))
                return;
        way->ruri = na.uri.all;
        way->top = NONE;
        way->last = target;
}

void route_put(const struct route *way, struct bl_draft *d, struct bl_str redirect)
{
        char text[UA_TEXT];
        struct bl_sb b = BL_SB(text);
        struct bl_str top = way->top;
        if (redirect.n && top.n) { /* in place of the topmost */
                bl_sb_addc(&b, '<');
                bl_sb_add(&b, redirect);
                bl_sb_addc(&b, '>');
                top = b.over ? top : bl_sb_str(&b);
        }
        if (top.n)
                bl_draft_header(d, BL_H_ROUTE, top);
        if (way->rest.n)
                bl_draft_header(d, BL_H_ROUTE, way->rest);
        if (way->last.n)
                bl_draft_headerf(d, BL_H_ROUTE, "<%.*s>", BL_STR_ARG(way->last));
}

/* --- ACK for 2xx --- */

struct ack {
        struct bl_link link; /* stack->acks */
        struct bl_ua_stack *stack;
        struct bl_send *send;
        struct bl_str target, routes, lines;
        char branch[24];
        bool legacy;
        uint32_t size;
        char text[];
};

static int render_ack(void *ctx, struct bl_send *s, const struct bl_try *t, struct bl_buf **ret)
{
        (void)s;
        struct ack *a = ctx;
        struct bl_draft d;
        char text[UA_TEXT];
        struct bl_sb b = BL_SB(text);
        struct route way;
        route_plan(&way, a->target, a->routes);
        bl_draft_request(&d, a->stack->env->pool, BL_STR("ACK"), way.ruri);
        ua_via(a->stack, a->legacy, t, ua_branch_str(a->branch), &b);
        bl_draft_header(&d, BL_H_VIA, bl_sb_str(&b));
        bl_draft_header(&d, BL_H_MAX_FORWARDS, BL_STR("70"));
        route_put(&way, &d, t->route);
        bl_draft_lines(&d, a->lines);
        return bl_draft_end(&d, NONE, NONE, ret);
}

static void ack_free(struct ack *a)
{
        struct bl_pool *pool = a->stack->env->pool;
        bl_list_remove(&a->link);
        bl_pool_give(pool, a, a->size);
}

static void acked(void *ctx, struct bl_send *s, unsigned status, const char *reason)
{
        (void)s;
        (void)status;
        (void)reason;
        ack_free(ctx);
}

static const struct bl_send_user ack_send = {.render = render_ack, .failed = acked};

static struct ack *ack_new(struct bl_dialog *d, struct bl_str lines)
{
        struct bl_ua_stack *s = d->ua->stack;
        struct bl_str src[] = {text_str(&d->target), text_str(&d->routes), lines};
        size_t n = sizeof(struct ack) + src[0].n + src[1].n + src[2].n;
        struct ack *a = bl_pool_zalloc(s->env->pool, n);
        if (!a)
                return NULL;
        a->stack = s;
        a->size = (uint32_t)n;
        a->legacy = d->ua->legacy;
        char *p = a->text;
        struct bl_str *slot[] = {&a->target, &a->routes, &a->lines};
        for (unsigned i = 0; i < BL_ARRAY_LEN(src); i++) {
                if (src[i].n)
                        memcpy(p, src[i].p, src[i].n);
                *slot[i] = bl_str_make(p, src[i].n);
                p += src[i].n;
        }
        ua_branch(s, a->branch);
        bl_list_push_back(&s->acks, &a->link);
        return a;
}

void request_ack(struct bl_dialog *d, bl_flow_id from, uint32_t cseq, struct bl_str auth)
{
        struct bl_ua_stack *s = d->ua->stack;
        char lines[UA_ROUTES];
        struct bl_sb b = BL_SB(lines);
        bl_sb_fmt(&b, "From: <%.*s>;tag=%.*s\r\n", BL_STR_ARG(text_str(&d->local_uri)),
                  BL_STR_ARG(text_str(&d->local_tag)));
        bl_sb_fmt(&b, "To: <%.*s>;tag=%.*s\r\n", BL_STR_ARG(text_str(&d->remote_uri)),
                  BL_STR_ARG(text_str(&d->remote_tag)));
        bl_sb_fmt(&b, "Call-ID: %.*s\r\nCSeq: %u ACK\r\n", BL_STR_ARG(text_str(&d->call_id)), cseq);
        bl_sb_add(&b, auth);
        struct ack *a = b.over ? NULL : ack_new(d, bl_sb_str(&b));
        if (!a)
                return; /* the next copy of the 2xx asks again */
        struct route way;
        struct bl_send_want w = {.method = BL_M_ACK,
                                 .method_name = BL_STR("ACK"),
                                 .branch = ua_branch_str(a->branch),
                                 .call_id = text_str(&d->call_id),
                                 .in_dialog = true};
        route_plan(&way, a->target, a->routes);
        int rc = bl_uri_parse(way.next, &w.u);
        /* Each copy of a 2xx is ACKed on the flow it came by (section 5), as long as that lives. */
        if (rc == 0 && bl_flow_get(bl_txns_flows(s->txns), from)) {
                w.flags = BL_SEND_PINNED;
                w.flow = from;
        }
        if (rc < 0 || bl_send_once(s->hops, &w, &ack_send, a, &a->send) < 0)
                ack_free(a);
}

void request_ack_drop_all(struct bl_ua_stack *s)
{
        while (s->acks.next && !bl_list_empty(&s->acks)) {
                struct ack *a = BL_CONTAINER(s->acks.next, struct ack, link);
                bl_send_free(a->send);
                ack_free(a);
        }
}
