/* Which domains the far end of a flow is known to be (protocol.md section 3.2). */
#include "flow/internal.h"
#include "sip/uri.h"

struct domain {
        struct bl_link link;
        enum bl_link_why why;
        uint16_t n;
        char name[];
};

static struct bl_str name_of(const struct domain *d)
{
        return bl_str_make(d->name, d->n);
}

static const struct domain *find(const struct bl_flow *f, struct bl_str domain)
{
        BL_LIST_EACH(l, &f->_links)
        {
                const struct domain *d = BL_CONTAINER(l, struct domain, link);
                if (bl_host_eq(name_of(d), domain))
                        return d;
        }
        return NULL;
}

bool bl_flow_linked(const struct bl_flow *f, struct bl_str domain)
{
        return find(f, domain) != NULL;
}

bool bl_flow_is_linked(const struct bl_flow *f)
{
        return !bl_list_empty(&f->_links);
}

int bl_flow_link(struct bl_flow *f, struct bl_str domain, enum bl_link_why why)
{
        unsigned count = 0;
        if (domain.n == 0 || domain.n > 255)
                return BL_EINVAL;
        if (find(f, domain))
                return 0;
        BL_LIST_EACH(l, &f->_links)
        {
                count++;
        }
        if (count >= BL_FLOW_LINKS)
                return BL_ELIMIT;
        struct domain *d = bl_pool_zalloc(f->_flows->env->pool, sizeof(*d) + domain.n);
        if (!d)
                return BL_ENOMEM;
        d->why = why;
        d->n = (uint16_t)domain.n;
        memcpy(d->name, domain.p, domain.n);
        bl_list_push_back(&f->_links, &d->link);
        return 0;
}

struct bl_str bl_flow_link_next(const struct bl_flow *f, const void **cursor, enum bl_link_why *ret_why)
{
        const struct bl_link *l = *cursor ? ((const struct bl_link *)*cursor)->next : f->_links.next;
        if (l == &f->_links)
                return (struct bl_str){0};
        const struct domain *d = BL_CONTAINER(l, struct domain, link);
        *cursor = l;
        if (ret_why)
                *ret_why = d->why;
        return name_of(d);
}

void bl_link_fini(struct bl_flow *f)
{
        BL_LIST_EACH_SAFE(l, &f->_links)
        {
                struct domain *d = BL_CONTAINER(l, struct domain, link);
                bl_list_remove(l);
                bl_pool_give(f->_flows->env->pool, d, sizeof(*d) + d->n);
        }
}

static void learn(struct bl_flow *f, struct bl_str domain, enum bl_link_why why)
{
        if (bl_flow_link(f, domain, why) == BL_ENOMEM)
                bl_count(f->_flows->no_memory); /* an unlinked flow is refused what it may do: the safe side */
}

/* RFC 5922 7.1: the identities are the SIP URIs without user part among the URI SANs; the DNS SANs only without any
 * such; 7.2: a wildcard matches nothing. */
static void learn_certificate(struct bl_flow *f, const struct bl_peer *peer)
{
        bool by_uri = false;
        for (unsigned i = 0; i < peer->n_uri; i++) {
                struct bl_uri u;
                struct bl_str san = peer->uri_san[i];
                if (bl_uri_parse(san, &u) < 0) /* one that means to be ours ("sip:*.example.com") proves nothing */
                        by_uri |= san.n > 4 && bl_str_ieq(bl_str_make(san.p, 4), BL_STR("sip:"));
                else if (u.scheme == BL_SCHEME_SIP && !u.has_user)
                        by_uri = true, learn(f, u.host, BL_LINK_CERT);
        }
        for (unsigned i = 0; !by_uri && i < peer->n_dns; i++) {
                if (bl_str_find(peer->dns_san[i], '*') < 0)
                        learn(f, peer->dns_san[i], BL_LINK_CERT);
        }
}

void bl_link_learn(struct bl_flow *f, const struct bl_peer *peer)
{
        const struct bl_flows_conf *c = &f->_flows->conf;
        if (bl_tp_is_secure(f->tp) && peer->chain == 0)
                learn_certificate(f, peer);
        for (unsigned i = 0; i < c->n_trust; i++) {
                if (bl_net_has(&c->trust[i].net, &f->remote))
                        learn(f, c->trust[i].domain, c->trust[i].why);
        }
}
