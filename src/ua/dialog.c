/* Dialogs (RFC 3261 section 12): identity, route set, remote target, sequence numbers. */
#include "ua/internal.h"

static uint64_t key(const struct bl_ua_stack *s, struct bl_str call_id, struct bl_str local_tag)
{
        return bl_hash_mix(bl_hash(s->env->hash_seed, call_id), bl_hash(s->env->hash_seed, local_tag));
}

struct bl_dialog *dialog_new(struct bl_ua *ua, bool uac)
{
        struct bl_dialog *d = bl_pool_zalloc(ua->stack->env->pool, sizeof *d);
        if (!d)
                return NULL;
        d->ua = ua;
        d->uac = uac;
        d->unknown = true;
        d->state = uac ? DIALOG_CALLING : DIALOG_EARLY;
        char id[20], tag[8];
        ua_random(ua->stack, id, sizeof id);
        ua_random(ua->stack, tag, sizeof tag);
        if (!text_set(ua->stack, &d->local_tag, bl_str_make(tag, sizeof tag)) ||
            (uac && !text_set(ua->stack, &d->call_id, bl_str_make(id, sizeof id)))) {
                dialog_free(d);
                return NULL;
        }
        return d;
}

struct bl_dialog *dialog_fork(struct bl_dialog *d, const struct bl_msg *m)
{
        struct bl_ua_stack *s = d->ua->stack;
        struct bl_dialog *f = dialog_new(d->ua, true);
        if (!f)
                return NULL;
        f->fork = true;
        f->invite = d->invite;
        f->local_seq = d->local_seq;
        if (text_set(s, &f->call_id, text_str(&d->call_id)) && text_set(s, &f->local_tag, text_str(&d->local_tag)) &&
            text_set(s, &f->local_uri, text_str(&d->local_uri)) &&
            text_set(s, &f->remote_uri, text_str(&d->remote_uri)) && dialog_from_response(f, m) && dialog_index(f) == 0)
                return f;
        dialog_free(f);
        return NULL;
}

int dialog_index(struct bl_dialog *d)
{
        return bl_htab_insert(&d->ua->stack->dialogs, &d->node,
                              key(d->ua->stack, text_str(&d->call_id), text_str(&d->local_tag)));
}

void dialog_free(struct bl_dialog *d)
{
        struct bl_ua_stack *s = d->ua->stack;
        answer_unacked_drop(d);
        bl_htab_remove(&s->dialogs, &d->node);
        if (d->remote_tag.n && !d->fork) /* section 3.3: its Record-Route bindings go with it */
                bl_sticky_end_dialog(bl_hops_sticky(s->hops), bl_hop_dialog(s->hops, text_str(&d->call_id)));
        if (!d->unknown) {
                struct bl_ua_event ev = {.kind = BL_UA_DIALOG_GONE, .dialog = d};
                ua_event(d->ua, &ev);
        }
        struct text *all[] = {&d->call_id,    &d->local_tag, &d->remote_tag, &d->local_uri,
                              &d->remote_uri, &d->target,    &d->routes};
        for (unsigned i = 0; i < BL_ARRAY_LEN(all); i++)
                text_drop(s, all[i]);
        bl_pool_give(s->env->pool, d, sizeof *d);
}

void dialog_unref(struct bl_dialog *d)
{
        if (--d->requests == 0 && d->state == DIALOG_ENDED)
                dialog_free(d);
}

void dialog_end(struct bl_dialog *d)
{
        d->state = DIALOG_ENDED;
        answer_unacked_drop(d);
        if (d->requests == 0)
                dialog_free(d);
}

struct bl_dialog *dialog_find(struct bl_ua_stack *s, struct bl_str call_id, struct bl_str local_tag,
                              struct bl_str remote_tag)
{
        for (struct bl_hnode *n = bl_htab_first(&s->dialogs, key(s, call_id, local_tag)); n; n = bl_htab_next(n)) {
                struct bl_dialog *d = BL_CONTAINER(n, struct bl_dialog, node);
                if (bl_str_eq(text_str(&d->call_id), call_id) && bl_str_eq(text_str(&d->local_tag), local_tag) &&
                    bl_str_eq(text_str(&d->remote_tag), remote_tag))
                        return d;
        }
        return NULL;
}

/* Record-Route as the route set: as it stands (UAS), or reversed (UAC). */
static bool take_routes(struct bl_dialog *d, const struct bl_msg *m, bool reversed)
{
        char text[UA_ROUTES];
        struct bl_sb b = BL_SB(text);
        int n = (int)bl_msg_count(m, BL_H_RECORD_ROUTE);
        for (int i = 0; i < n; i++) {
                struct bl_nameaddr na;
                if (bl_msg_nameaddr(m, BL_H_RECORD_ROUTE, reversed ? n - 1 - i : i, &na) < 0)
                        return false;
                if (b.n)
                        bl_sb_addz(&b, ", ");
                bl_sb_add(&b, na.all);
        }
        return !b.over && text_set(d->ua->stack, &d->routes, bl_sb_str(&b));
}

void dialog_refresh_target(struct bl_dialog *d, const struct bl_msg *m)
{
        struct bl_nameaddr na;
        if (bl_msg_nameaddr(m, BL_H_CONTACT, 0, &na) == 0 && !na.star)
                (void)text_set(d->ua->stack, &d->target, na.uri.all);
}

bool dialog_from_response(struct bl_dialog *d, const struct bl_msg *m)
{
        if (!text_set(d->ua->stack, &d->remote_tag, m->to_tag))
                return false;
        dialog_refresh_target(d, m);
        return take_routes(d, m, true);
}

bool dialog_from_request(struct bl_dialog *d, const struct bl_msg *m)
{
        struct bl_ua_stack *s = d->ua->stack;
        struct bl_nameaddr from, to;
        if (bl_msg_nameaddr(m, BL_H_FROM, 0, &from) < 0 || bl_msg_nameaddr(m, BL_H_TO, 0, &to) < 0)
                return false;
        dialog_refresh_target(d, m);
        d->remote_seq = m->cseq.number;
        d->has_remote_seq = true;
        return text_set(s, &d->call_id, m->call_id) && text_set(s, &d->remote_tag, m->from_tag) &&
               text_set(s, &d->remote_uri, from.uri.all) && text_set(s, &d->local_uri, to.uri.all) &&
               take_routes(d, m, false);
}

struct bl_str bl_dialog_call_id(const struct bl_dialog *d)
{
        return text_str(&d->call_id);
}

struct bl_dialog *bl_dialog_call(struct bl_dialog *d)
{
        return d->fork && d->inviting ? d->inviting->dialog : d;
}

void bl_dialog_set_user(struct bl_dialog *d, void *user)
{
        d->user = user;
}

void *bl_dialog_user(const struct bl_dialog *d)
{
        return d->user;
}
