/* Which of the targets' finals goes upstream (RFC 3261 section 16.7 steps 6 and 7), and as what. */
#include "proxy/internal.h"

/*
 * 6xx before all, then the lowest class. Within 4xx those that tell the far end how to ask again; last of all those
 * that only say that somebody did not answer. Within 5xx 503 last. Equal ones: the first that came.
 */
unsigned px_best_order(unsigned status)
{
        unsigned class = status / 100;
        unsigned within = 1;
        switch (status) {
        case 401:
        case 407:
        case 415:
        case 420:
        case 484:
                within = 0;
                break;
        case 408:
        case 430:
        case 503:
                within = 2;
                break;
        default:
                break;
        }
        return (class == 6 ? 0 : class) * 10 + within;
}

unsigned px_best_upstream(const struct bl_px *px, const struct px_branch *b, unsigned status, bool local)
{
        enum bl_method method = px->msg->method;
        switch (status) {
        case 305:
                /* Redirects to another edge are followed here or by nobody (protocol.md section 3.4). */
                return method == BL_M_REGISTER ? 305 : 480;
        case 408:
                if (px->cancelled && local && method == BL_M_INVITE)
                        return 487;                       /* it was asked for */
                return method == BL_M_INVITE ? 408 : 504; /* RFC 4320 section 4.2; protocol.md section 5 */
        case 430:
                return px->ours_upstream ? 430 : 480; /* protocol.md section 3.4 */
        case 503:
                /* Step 6: it would take this whole node out of the far end's list for one target's trouble. A belay
                 * neighbour asks elsewhere for this request only; but a UA's own 503 is nobody else's (protocol.md
                 * section 5). */
                if (!px->ours_upstream || (!local && (px->p->conf->record_503_as_500 || b->t.send_flags & BL_SEND_UA)))
                        return 500;
                return 503;
        default:
                return status;
        }
}

static bool challenges(unsigned status)
{
        return status == 401 || status == 407;
}

static void collect(struct bl_px *px, const struct px_branch *b, const struct bl_msg *m)
{
        static const enum bl_hid ids[] = {BL_H_WWW_AUTHENTICATE, BL_H_PROXY_AUTHENTICATE};
        for (unsigned i = 0; i < BL_ARRAY_LEN(ids); i++) {
                for (const struct bl_hdr *h = bl_msg_first(m, ids[i]); h; h = bl_msg_next(m, h)) {
                        if (px->challenge_octets + h->value_len > PX_CHALLENGES)
                                return;
                        struct px_challenge *c = bl_px_alloc(px, sizeof(*c));
                        struct bl_str value = c ? bl_px_str(px, bl_hdr_value(m, h)) : (struct bl_str){NULL, 0};
                        if (!value.n)
                                return;
                        px->challenge_octets += h->value_len;
                        *c = (struct px_challenge){NULL, b, ids[i], value};
                        struct px_challenge **at = &px->challenges;
                        while (*at)
                                at = &(*at)->next;
                        *at = c;
                }
        }
}

void px_best_drop(struct bl_px *px)
{
        if (px->best.msg && !px->best.borrowed)
                bl_msg_drop(px->best.msg, px->p->env->pool);
        px->best = (struct px_best){0};
}

void px_best_offer(struct bl_px *px, unsigned status, const struct bl_msg *m, bl_flow_id from, struct px_branch *b,
                   const char *reason, bool last)
{
        struct px_best *best = &px->best;
        if (m && challenges(status) && px->n_branches > 1)
                collect(px, b, m);
        if (best->status && px_best_order(best->status) <= px_best_order(status))
                return;
        px_best_drop(px);
        *best = (struct px_best){.status = status, .reason = reason, .from = from, .branch = b};
        if (!m)
                return;
        if (last) { /* answered before this event is over */
                best->msg = (struct bl_msg *)(uintptr_t)m;
                best->borrowed = true;
        } else {
                best->msg = bl_msg_keep(m, px->p->env->pool); /* without memory its status must do */
        }
}
