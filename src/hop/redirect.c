/* The redirect that rebuilds (protocol.md section 3.4): a 305's targets in place of the top Route. */
#include "hop/journey.h"

enum { CONTACTS_MAX = SEND_REDIRECTS };

struct contact {
        struct bl_str uri;
        unsigned q; /* thousandths */
};

/* qvalue (RFC 3261 section 25.1); what is none counts as the default. */
static unsigned contact_q(const struct bl_nameaddr *na)
{
        struct bl_str v;
        unsigned q = 0, unit = 100;
        if (!bl_nameaddr_param(na, BL_STR("q"), &v) || !v.n)
                return 1000;
        if (v.p[0] == '1')
                return 1000;
        if (v.p[0] != '0' || (v.n > 1 && v.p[1] != '.'))
                return 1000;
        for (size_t i = 2; i < v.n && unit; i++, unit /= 10) {
                if (v.p[i] < '0' || v.p[i] > '9')
                        return 1000;
                q += (unsigned)(v.p[i] - '0') * unit;
        }
        return q;
}

/* May only name another node for the same Route: same user, same host. */
static bool contact_fits(const struct bl_uri *base, const struct bl_nameaddr *na)
{
        const struct bl_uri *u = &na->uri;
        return !na->star && u->scheme == base->scheme && u->has_user == base->has_user &&
               bl_str_eq(u->user, base->user) && bl_host_eq(u->host, base->host) &&
               u->all.n + sizeof(";lr") <= SEND_URI_MAX;
}

static unsigned contacts_read(struct bl_send *s, const struct bl_uri *base, const struct bl_msg *m,
                              struct contact ret[CONTACTS_MAX])
{
        struct bl_values it = {0};
        unsigned n = 0;
        while (bl_msg_values(m, BL_H_CONTACT, &it)) {
                struct bl_nameaddr na;
                if (bl_nameaddr_parse(it.value, &na) < 0)
                        continue;
                if (!contact_fits(base, &na)) {
                        bl_count(s->h->count.redirect_changed);
                        continue;
                }
                struct contact c = {na.uri.all, contact_q(&na)};
                unsigned k = n < CONTACTS_MAX ? n++ : CONTACTS_MAX;
                if (k == CONTACTS_MAX)
                        break;
                for (; k && ret[k - 1].q < c.q; k--)
                        ret[k] = ret[k - 1];
                ret[k] = c;
        }
        return n;
}

static bool redirect_known(const struct bl_send *s, const struct bl_uri *u)
{
        for (unsigned i = 0; i < s->n_redirect; i++) {
                struct bl_uri have;
                if (bl_uri_parse(s->redirect[i].text, &have) == 0 && bl_uri_exact(&have, u, false))
                        return true;
        }
        return false;
}

static bool redirect_add(struct bl_send *s, const struct tried *t, struct bl_str text)
{
        char buf[SEND_URI_MAX + 8];
        struct bl_sb b = BL_SB(buf);
        struct bl_uri u;
        bl_sb_add(&b, text);
        if (bl_uri_parse(text, &u) < 0)
                return false;
        if (!bl_uri_is_lr(&u)) { /* it takes a Route's place */
                b.n -= u.headers.n;
                bl_sb_addz(&b, ";lr");
        } else {
                b.n -= u.headers.n; /* a Route has none */
        }
        if (b.over || bl_uri_parse(bl_sb_str(&b), &u) < 0 || s->n_redirect == SEND_REDIRECTS || redirect_known(s, &u))
                return false;
        struct redirect *r = &s->redirect[s->n_redirect];
        *r = (struct redirect){.text = hop_pool_str(s->h, bl_sb_str(&b)), .base = t->base, .like_tp = t->tp};
        r->like_port = t->ours ? t->addr.port : bl_tp_default_port(t->tp);
        if (!r->text.n)
                return false;
        s->n_redirect++;
        return true;
}

unsigned send_redirect_take(struct bl_send *s, const struct tried *t, const struct bl_msg *m)
{
        struct contact c[CONTACTS_MAX];
        struct bl_uri base;
        unsigned taken = 0;
        if (!send_base_uri(s, t->base, &base))
                return 0;
        unsigned n = contacts_read(s, &base, m, c);
        for (unsigned i = 0; i < n; i++)
                taken += redirect_add(s, t, c[i].uri);
        if (taken)
                s->redirected |= 1u << t->base;
        return taken;
}

struct bl_str send_redirect_route(const struct bl_send *s, unsigned base, const struct bl_addr *addr, char *buf,
                                  size_t cap)
{
        const struct bl_str maddr = BL_STR("maddr");
        struct bl_sb b = {buf, 0, cap, false};
        struct bl_uri u;
        if (!send_base_uri(s, base, &u))
                return bl_str_make(NULL, 0);
        bl_uri_put_without(&b, &u, &maddr, 1);
        bl_sb_addz(&b, ";maddr=");
        bl_addr_put_ip(&b, addr);
        return b.over ? bl_str_make(NULL, 0) : bl_sb_str(&b);
}

unsigned send_redirect_like(struct bl_send *s, const struct redirect *r, const struct bl_uri *u, struct bl_target *t,
                            unsigned n)
{
        if (!n || u->port || bl_uri_param(u, BL_STR("transport"), NULL) || hop_map_at(s->h, u->host, &t[0].to))
                return n;
        struct bl_target like = t[0];
        like.tp = r->like_tp;
        like.to.port = r->like_port;
        like.listener = hop_listener(s->h, like.tp, &like.to);
        if (like.tp == t[0].tp && bl_addr_eq(&like.to, &t[0].to))
                return n;
        n = n < BL_HOP_TARGETS ? n : BL_HOP_TARGETS - 1;
        memmove(t + 1, t, n * sizeof(*t));
        t[0] = like;
        return n + 1;
}

void send_redirect_fini(struct bl_send *s)
{
        for (unsigned i = 0; i < s->n_redirect; i++)
                hop_pool_unstr(s->h, &s->redirect[i].text);
        s->n_redirect = 0;
}
