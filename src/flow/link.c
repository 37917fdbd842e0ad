/* Which domains the far end of a flow is known to be (protocol.md section 3.2). */
#include "flow/internal.h"
#include "sip/uri.h"

enum { NAME_MAX = 255 /* octets of a domain */, OFFERED_MAX = 400 /* of names in a log line */ };

struct bl_flow_domain {
        struct bl_link link;
        enum bl_link_why why;
        uint16_t n;
        char name[];
};

static struct bl_str name_of(const struct bl_flow_domain *d)
{
        return bl_str_make(d->name, d->n);
}

static const struct bl_flow_domain *find(const struct bl_flow *f, struct bl_str domain)
{
        BL_LIST_EACH(l, &f->_links)
        {
                const struct bl_flow_domain *d = BL_CONTAINER(l, struct bl_flow_domain, link);
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

static struct bl_flow_domain *make(struct bl_flow *f, struct bl_str domain, enum bl_link_why why)
{
        struct bl_flow_domain *d = bl_pool_zalloc(f->_flows->env->pool, sizeof(*d) + domain.n);
        if (!d)
                return NULL;
        d->why = why;
        d->n = (uint16_t)domain.n;
        memcpy(d->name, domain.p, domain.n);
        return d;
}

static void give(struct bl_flow *f, struct bl_flow_domain *d)
{
        bl_pool_give(f->_flows->env->pool, d, sizeof(*d) + d->n);
}

int bl_flow_link(struct bl_flow *f, struct bl_str domain, enum bl_link_why why)
{
        unsigned count = 0;
        if (domain.n == 0 || domain.n > NAME_MAX)
                return BL_EINVAL;
        if (find(f, domain))
                return 0;
        BL_LIST_EACH(l, &f->_links)
        {
                count++;
        }
        if (count >= BL_FLOW_LINKS)
                return BL_ELIMIT;
        struct bl_flow_domain *d = make(f, domain, why);
        if (!d)
                return BL_ENOMEM;
        bl_list_push_back(&f->_links, &d->link);
        return 0;
}

int bl_link_want(struct bl_flow *f, struct bl_str domain)
{
        if (domain.n == 0 || domain.n > NAME_MAX)
                return BL_EINVAL;
        f->_wanted = make(f, domain, BL_LINK_CERT);
        return f->_wanted ? 0 : BL_ENOMEM;
}

struct bl_str bl_flow_link_next(const struct bl_flow *f, const void **cursor, enum bl_link_why *ret_why)
{
        const struct bl_link *l = *cursor ? ((const struct bl_link *)*cursor)->next : f->_links.next;
        if (l == &f->_links)
                return (struct bl_str){0};
        const struct bl_flow_domain *d = BL_CONTAINER(l, struct bl_flow_domain, link);
        *cursor = l;
        if (ret_why)
                *ret_why = d->why;
        return name_of(d);
}

void bl_link_fini(struct bl_flow *f)
{
        BL_LIST_EACH_SAFE(l, &f->_links)
        {
                struct bl_flow_domain *d = BL_CONTAINER(l, struct bl_flow_domain, link);
                bl_list_remove(l);
                give(f, d);
        }
        if (f->_wanted)
                give(f, f->_wanted);
}

static void learn(struct bl_flow *f, struct bl_str domain, enum bl_link_why why)
{
        if (bl_flow_link(f, domain, why) == BL_ENOMEM)
                bl_count(f->_flows->no_memory); /* an unlinked flow is refused what it may do: the safe side */
}

/* ---- certificates (RFC 5922 section 7) ---- */

/* A DNS name or a subject's CN: a host name and nothing else, for it becomes the host of URIs. An address is no name,
 * and a wildcard matches nothing (7.2). */
static bool is_name(struct bl_str s)
{
        char text[4 + NAME_MAX];
        struct bl_sb b = BL_SB(text);
        struct bl_uri u;
        bl_sb_addz(&b, "sip:");
        bl_sb_add(&b, s);
        return !b.over && bl_uri_parse(bl_sb_str(&b), &u) == 0 && u.host_kind == BL_HOST_NAME && u.host.n == s.n;
}

/* The host of a URI SAN that is an identity: sip (never sips) and without user part; empty otherwise. */
static struct bl_str uri_identity(struct bl_str san)
{
        struct bl_uri u;
        if (bl_uri_parse(san, &u) < 0 || u.scheme != BL_SCHEME_SIP || u.has_user)
                return bl_str_make(NULL, 0);
        return u.host;
}

/* One that means to be a SIP identity, though it may be none ("sip:*.example.com"): DNS names do not stand in for it.
 */
static bool claims_uri(struct bl_str san)
{
        struct bl_uri u;
        if (uri_identity(san).n)
                return true;
        return bl_uri_parse(san, &u) < 0 && san.n > 4 && bl_str_ieq(bl_str_make(san.p, 4), BL_STR("sip:"));
}

/* 7.1: where its identities stand: SIP URIs; DNS names only without any; the CN only without any SAN. */
enum kind { BY_URI, BY_DNS, BY_CN };

static enum kind kind_of(const struct bl_peer *p)
{
        for (unsigned i = 0; i < p->n_uri; i++) {
                if (claims_uri(p->uri_san[i]))
                        return BY_URI;
        }
        return p->n_uri + p->n_dns ? BY_DNS : BY_CN;
}

/* The i-th name of that kind: false when there are no more. Empty: not an identity. */
static bool identity(const struct bl_peer *p, enum kind kind, unsigned i, struct bl_str *ret)
{
        if (i >= (kind == BY_URI ? p->n_uri : kind == BY_DNS ? p->n_dns : 1u))
                return false;
        if (kind == BY_URI) {
                *ret = uri_identity(p->uri_san[i]);
                return true;
        }
        *ret = kind == BY_DNS ? p->dns_san[i] : p->cn;
        if (!is_name(*ret))
                ret->n = 0;
        return true;
}

static bool proves(const struct bl_peer *p, struct bl_str domain)
{
        enum kind kind = kind_of(p);
        struct bl_str name;
        for (unsigned i = 0; identity(p, kind, i, &name); i++) {
                if (name.n && bl_host_eq(name, domain))
                        return true;
        }
        return false;
}

static bool by_wildcard(struct bl_str name, struct bl_str domain)
{
        struct bl_str label, rest;
        return name.n > 2 && name.p[0] == '*' && name.p[1] == '.' && bl_str_cut(domain, '.', &label, &rest) &&
               bl_host_eq(bl_str_from(name, 2), rest);
}

/* Would it have done if wildcards counted? Only to say so. */
static bool means_wildcard(const struct bl_peer *p, struct bl_str domain)
{
        bool found = by_wildcard(p->cn, domain);
        for (unsigned i = 0; i < p->n_dns; i++)
                found |= by_wildcard(p->dns_san[i], domain);
        for (unsigned i = 0; i < p->n_uri; i++)
                found |= p->uri_san[i].n > 4 && by_wildcard(bl_str_from(p->uri_san[i], 4), domain);
        return found;
}

static void put_offered(struct bl_sb *b, struct bl_str name)
{
        if (!name.n)
                return;
        if (b->n)
                bl_sb_addc(b, ' ');
        bl_sb_add(b, name);
}

static void refused(const struct bl_flow *f, const struct bl_peer *p, enum bl_tls_refusal why)
{
        static const char *const reason[] = {
                [BL_TLS_CHAIN] = "certificate",
                [BL_TLS_NO_CERTIFICATE] = "no_certificate",
                [BL_TLS_WRONG_NAME] = "wrong_name",
                [BL_TLS_WILDCARD] = "wildcard",
        };
        struct bl_log *log = f->_flows->env->log;
        char offered[OFFERED_MAX], remote[BL_ADDR_TEXT];
        struct bl_sb names = BL_SB(offered), at = BL_SB(remote);
        bl_count(f->_flows->tls_refused[why]);
        if (!bl_log_allow(log, "tls_refused", reason[why]))
                return;
        for (unsigned i = 0; i < p->n_uri; i++)
                put_offered(&names, p->uri_san[i]);
        for (unsigned i = 0; i < p->n_dns; i++)
                put_offered(&names, p->dns_san[i]);
        put_offered(&names, p->cn);
        bl_addr_put(&at, &f->remote);
        bl_log_ev(log, BL_LOG_WARN, "tls_refused", BL_KI("flow", f->id), BL_KS("remote", bl_sb_str(&at)),
                  BL_KZ("opened_by", f->ours ? "us" : "peer"),
                  BL_KS("wanted", f->_wanted ? name_of(f->_wanted) : bl_str_make(NULL, 0)),
                  BL_KS("offered", bl_sb_str(&names)),
                  BL_KS("reason", why == BL_TLS_CHAIN && p->chain_text.n ? p->chain_text : bl_str_z(reason[why])));
}

static void learn_certificate(struct bl_flow *f, const struct bl_peer *p)
{
        enum kind kind = kind_of(p);
        struct bl_str name;
        if (f->_wanted) /* first: what it was opened for must not be lost in a long list */
                bl_list_push_front(&f->_links, &f->_wanted->link);
        f->_wanted = NULL;
        for (unsigned i = 0; identity(p, kind, i, &name); i++) {
                if (name.n)
                        learn(f, name, BL_LINK_CERT);
        }
}

/* We opened it to a name: nothing is sent before the far end has proven it. */
static bool admit_ours(struct bl_flow *f, const struct bl_peer *p)
{
        if (p->chain != 0)
                refused(f, p, p->chain == BL_ENOENT ? BL_TLS_NO_CERTIFICATE : BL_TLS_CHAIN);
        else if (!proves(p, name_of(f->_wanted)))
                refused(f, p, means_wildcard(p, name_of(f->_wanted)) ? BL_TLS_WILDCARD : BL_TLS_WRONG_NAME);
        else
                return true;
        return false;
}

/* UAs need no certificate. A proxy that shows a bad one is none that we know; where UAs come it may be a UA's. */
static bool admit_theirs(struct bl_flow *f, const struct bl_peer *p)
{
        const struct bl_flows_conf *c = &f->_flows->conf;
        if (p->chain == 0 || p->chain == BL_ENOENT)
                return true;
        refused(f, p, BL_TLS_CHAIN);
        return f->listener < c->n_listeners && c->listeners[f->listener].ua_side;
}

bool bl_link_admit(struct bl_flow *f, const struct bl_peer *peer)
{
        const struct bl_flows_conf *c = &f->_flows->conf;
        if (bl_tp_is_secure(f->tp)) { /* an address says nothing here: the certificate does */
                if (!(f->ours ? admit_ours(f, peer) : admit_theirs(f, peer)))
                        return false;
                if (peer->chain == 0)
                        learn_certificate(f, peer);
                return true;
        }
        for (unsigned i = 0; i < c->n_trust; i++) {
                if (bl_net_has(&c->trust[i].net, &f->remote))
                        learn(f, c->trust[i].domain, c->trust[i].why);
        }
        return true;
}

/* ---- another list of trusted ranges ---- */

static bool has_link(const struct bl_trust *t, unsigned n, const struct bl_addr *remote, const struct bl_trust *like)
{
        for (unsigned i = 0; i < n; i++) {
                if (t[i].why == like->why && bl_net_has(&t[i].net, remote) && bl_host_eq(t[i].domain, like->domain))
                        return true;
        }
        return false;
}

/* All that `a` says of this far end, `b` says too. */
static bool is_covered(const struct bl_trust *a, unsigned n_a, const struct bl_trust *b, unsigned n_b,
                       const struct bl_addr *remote)
{
        for (unsigned i = 0; i < n_a; i++) {
                if (bl_net_has(&a[i].net, remote) && !has_link(b, n_b, remote, &a[i]))
                        return false;
        }
        return true;
}

static bool same_list(const struct bl_trust *a, unsigned n_a, const struct bl_trust *b, unsigned n_b)
{
        if (n_a != n_b)
                return false;
        for (unsigned i = 0; i < n_a; i++) {
                if (a[i].why != b[i].why || a[i].net.bits != b[i].net.bits ||
                    !bl_addr_eq_ip(&a[i].net.base, &b[i].net.base) || !bl_str_eq(a[i].domain, b[i].domain))
                        return false;
        }
        return true;
}

void bl_flows_set_trust(struct bl_flows *fs, const struct bl_trust *trust, unsigned n)
{
        const struct bl_trust *old = fs->conf.trust;
        unsigned n_old = fs->conf.n_trust;
        bool same = same_list(old, n_old, trust, n);
        fs->conf.trust = trust;
        fs->conf.n_trust = n;
        if (same)
                return;
        BL_LIST_EACH(l, &fs->all)
        {
                struct bl_flow *f = BL_CONTAINER(l, struct bl_flow, _all);
                if (f->state == BL_FLOW_UP && !bl_tp_is_secure(f->tp) &&
                    !(is_covered(old, n_old, trust, n, &f->remote) && is_covered(trust, n, old, n_old, &f->remote)))
                        bl_flow_close_why(f, true, BL_EREFUSED);
        }
}

bool bl_flow_proves(const struct bl_flow *f, struct bl_str domain)
{
        const struct bl_flow_domain *d = find(f, domain);
        return d && d->why == BL_LINK_CERT;
}

bool bl_flow_proven(const struct bl_flow *f)
{
        const void *cursor = NULL;
        enum bl_link_why why;
        while (bl_tp_is_secure(f->tp) && bl_flow_link_next(f, &cursor, &why).n) {
                if (why == BL_LINK_CERT)
                        return true;
        }
        return false;
}
