/*
 * The registrar (RFC 3261 section 10, RFC 3327, 3608, 5626 section 6), and the redirect that discovery starts with: a
 * REGISTER that did not come through a valid edge is sent to the cluster (protocol.md section 2, S7). Answers need no
 * transaction: an equal REGISTER is answered again from the binding.
 */
#include "home/internal.h"

enum { CONTACTS = 16 };

static void redirect_to(struct job *j, struct bl_str edge)
{
        char line[600];
        struct bl_sb b = BL_SB(line);
        bl_sb_addz(&b, "Contact: <sip:");
        bl_sb_add(&b, edge);
        bl_sb_addz(&b, ";lr>\r\n");
        bl_count(j->home->redirected_total);
        bl_px_reply(j->px, &(struct bl_response){.status = 300, .extra = bl_sb_str(&b)}, true);
}

/* Which cluster may depend on the subscriber (protocol.md section 2 step 2). Nobody is told whether he exists. */
static void redirect_by_group(struct job *j, int rc)
{
        struct bl_str edge = j->domain->edge;
        for (unsigned i = 0; rc == 0 && i < j->domain->n_groups; i++)
                if (bl_str_eq(j->domain->groups[i].group, j->op.group))
                        edge = j->domain->groups[i].edge;
        redirect_to(j, edge);
}

static void redirect(struct job *j)
{
        struct bl_store *s = j->home->node->c.store;
        struct bl_nameaddr to;
        if (j->domain->n_groups == 0 || bl_msg_nameaddr(bl_px_msg(j->px), BL_H_TO, 0, &to) < 0) {
                redirect_to(j, j->domain->edge);
                return;
        }
        bl_store_end(&j->op);
        struct bl_str user = home_unescape(j->px, to.uri.user);
        home_job_wait(j, s->ops->subscriber(s, j->home->env, user, j->domain->name, &j->op), redirect_by_group);
}

/* --- after authentication: what is to be stored --- */

struct wanted {
        struct bl_contact c[CONTACTS];
        unsigned n;
        bool remove_all;
        uint32_t longest;
};

/* The parameters of a Contact that mean something here; NULL: not there. */
struct said {
        struct bl_str expires, q, instance, reg_id;
};

static struct said read_params(struct bl_str list)
{
        struct said s = {0};
        struct bl_param p;
        while (bl_params_next(&list, &p)) {
                struct bl_str *to = bl_str_ieq(p.name, BL_STR("expires"))         ? &s.expires
                                    : bl_str_ieq(p.name, BL_STR("q"))             ? &s.q
                                    : bl_str_ieq(p.name, BL_STR("+sip.instance")) ? &s.instance
                                    : bl_str_ieq(p.name, BL_STR("reg-id"))        ? &s.reg_id
                                                                                  : NULL;
                if (to && !to->p) /* the first of a name counts */
                        *to = p.value.p ? p.value : BL_STR("");
        }
        return s;
}

static bool expiry(struct job *j, struct bl_str said, uint32_t *ret)
{
        const struct bl_home_conf *c = &j->home->node->c;
        const struct bl_msg *m = bl_px_msg(j->px);
        uint32_t min = c->min_expires_s ? c->min_expires_s : 60, max = c->max_expires_s ? c->max_expires_s : 7200;
        uint32_t s = c->default_expires_s ? c->default_expires_s : 3600;
        /* RFC 3261 10.2.1.1, 20.19: a malformed value counts as 3600. */
        if (said.p) {
                if (bl_str_u32(said, &s) < 0)
                        s = 3600;
        } else if (bl_msg_u32(m, BL_H_EXPIRES, &s) == BL_EMALFORMED)
                s = 3600;
        if (s != 0 && s < min && s < 3600) { /* 10.3 step 7 */
                char line[48];
                struct bl_sb b = BL_SB(line);
                bl_sb_fmt(&b, "Min-Expires: %u\r\n", min);
                bl_px_refuse(j->px, 423, "interval_too_brief", HOME_NONE, bl_sb_str(&b));
                return false;
        }
        *ret = s > max ? max : s;
        return true;
}

static uint16_t q_of(struct bl_str v)
{
        struct bl_str whole, frac;
        uint32_t n;
        if (!v.p)
                return 1000;
        if (!bl_str_cut(v, '.', &whole, &frac) || frac.n == 0)
                return bl_str_eq(whole, BL_STR("0")) ? 0 : 1000;
        if (!bl_str_eq(whole, BL_STR("0")) || frac.n > 3 || bl_str_u32(frac, &n) < 0)
                return 1000;
        return (uint16_t)(frac.n == 1 ? n * 100 : frac.n == 2 ? n * 10 : n);
}

/* The Path vector as one value; BL_ENOMEM. */
static int path_vector(struct bl_px *px, struct bl_str *ret)
{
        const struct bl_msg *m = bl_px_msg(px);
        struct bl_values it = {0};
        size_t n = 0;
        *ret = HOME_NONE;
        if (!bl_msg_has(m, BL_H_PATH))
                return 0;
        while (bl_msg_values(m, BL_H_PATH, &it))
                n += it.value.n + 2;
        char *mem = bl_px_alloc(px, n + 1);
        if (!mem)
                return BL_ENOMEM;
        struct bl_sb b = {mem, 0, n + 1, false};
        it = (struct bl_values){0};
        while (bl_msg_values(m, BL_H_PATH, &it)) {
                if (b.n)
                        bl_sb_addz(&b, ", ");
                bl_sb_add(&b, it.value);
        }
        *ret = bl_sb_str(&b);
        return 0;
}

static struct bl_str unquoted(struct bl_px *px, struct bl_str s)
{
        char *mem = bl_px_alloc(px, s.n + 1);
        struct bl_sb b = {mem, 0, mem ? s.n + 1 : 0, false};
        bl_params_unquote(s, &b);
        return bl_sb_str(&b);
}

static bool one_contact(struct job *j, const struct bl_nameaddr *na, struct bl_str path, struct wanted *w)
{
        const struct bl_msg *m = bl_px_msg(j->px);
        uint32_t s;
        if (w->n == CONTACTS) {
                home_refuse(j->px, 403, "too_many_contacts", BL_STR("Too Many Contacts"));
                return false;
        }
        if (na->star) { /* 10.3 step 6: alone, with Expires: 0 */
                if (bl_msg_count(m, BL_H_CONTACT) != 1 || bl_msg_u32(m, BL_H_EXPIRES, &s) < 0 || s != 0) {
                        home_refuse(j->px, 400, "bad_star", BL_STR("Contact: * needs Expires: 0 and no other Contact"));
                        return false;
                }
                w->remove_all = true;
                /* 10.3 step 6: the order of requests counts here too */
                w->c[0] = (struct bl_contact){.cseq = m->cseq.number,
                                              .call_id = bl_px_str(j->px, m->call_id),
                                              .updated_at = j->home->env->wall};
                w->n = 1;
                return true;
        }
        if (na->uri.has_user && home_host_is_edge(j->home, na->uri.host)) { /* P counts only as Route */
                home_refuse(j->px, 403, "p_in_contact", HOME_NONE);
                return false;
        }
        struct said said = read_params(na->params);
        if (!expiry(j, said.expires, &s))
                return false;
        struct bl_contact *c = &w->c[w->n++];
        *c = (struct bl_contact){.uri = bl_px_str(j->px, na->uri.all),
                                 .path = path,
                                 .q = q_of(said.q),
                                 .cseq = m->cseq.number,
                                 .call_id = bl_px_str(j->px, m->call_id),
                                 .params = bl_px_str(j->px, na->params)};
        if (said.instance.p)
                c->instance = unquoted(j->px, said.instance);
        uint32_t reg_id;
        if (c->instance.n && said.reg_id.p && bl_str_u32(said.reg_id, &reg_id) == 0 && reg_id &&
            bl_msg_lists_token(m, BL_H_SUPPORTED, BL_STR("outbound"))) {
                c->reg_id = reg_id;
                j->outbound = true;
        }
        int64_t wall = j->home->env->wall;
        c->updated_at = wall;
        c->expires_at = s ? wall + s : 0;
        if (s > w->longest)
                w->longest = s;
        return true;
}

/* RFC 5626 section 6: the first hop must have said that it does outbound, unless we are it. */
static bool first_hop_ok(struct job *j)
{
        const struct bl_msg *m = bl_px_msg(j->px);
        struct bl_nameaddr na;
        if (!j->outbound || bl_msg_via(m, 1, &(struct bl_via){0}) < 0)
                return true;
        if (bl_msg_nameaddr(m, BL_H_PATH, -1, &na) == 0 && bl_uri_param(&na.uri, BL_STR("ob"), NULL))
                return true;
        bl_px_refuse(j->px, 439, "no_outbound_first_hop", HOME_NONE, HOME_NONE);
        return false;
}

/* --- the 200 --- */

static void put_contacts(const struct bl_location *l, int64_t wall, struct bl_sb *b)
{
        for (unsigned i = 0; i < l->n; i++) {
                const struct bl_contact *c = &l->c[i];
                if (c->expires_at <= wall)
                        continue;
                struct bl_str params = c->params;
                struct bl_param p;
                bl_sb_addz(b, "Contact: <");
                bl_sb_add(b, c->uri);
                bl_sb_addc(b, '>');
                while (bl_params_next(&params, &p))
                        if (!bl_str_ieq(p.name, BL_STR("expires")))
                                bl_sb_add(b, p.all);
                bl_sb_addz(b, ";expires=");
                bl_sb_addu(b, (uint64_t)(c->expires_at - wall));
                bl_sb_addz(b, "\r\n");
        }
}

/* Path echoed, and Service-Route: the vector reversed, then us (protocol.md section 2 step 5). */
static void put_routes(struct job *j, struct bl_sb *b)
{
        const struct bl_msg *m = bl_px_msg(j->px);
        struct bl_values it = {0};
        int n = 0;
        for (; bl_msg_has(m, BL_H_PATH) && bl_msg_values(m, BL_H_PATH, &it); n++) {
                bl_sb_addz(b, "Path: ");
                bl_sb_add(b, it.value);
                bl_sb_addz(b, "\r\n");
        }
        for (int i = n - 1; i >= 0; i--) {
                struct bl_nameaddr na;
                if (bl_msg_nameaddr(m, BL_H_PATH, i, &na) < 0)
                        continue;
                bl_sb_addz(b, "Service-Route: ");
                bl_sb_add(b, na.all);
                bl_sb_addz(b, "\r\n");
        }
        bl_sb_addz(b, "Service-Route: <sip:");
        bl_sb_add(b, j->domain->name);
        bl_sb_addz(b, ";lr>\r\n");
}

/* Without edges we are the UA's first hop: the Contacts that this REGISTER has bound stick to its flow, as P does at an
 * edge. */
static void stick_direct(struct job *j, struct bl_flow *f)
{
        const struct bl_msg *m = bl_px_msg(j->px);
        const struct env *env = j->home->env;
        if (bl_msg_has(m, BL_H_PATH))
                return;
        for (unsigned i = 0; i < j->op.location.n; i++) {
                const struct bl_contact *c = &j->op.location.c[i];
                struct bl_bind bind = {.flow = f->id, .kind = BL_BIND_PATH, .confirmed = true};
                if (c->expires_at <= env->wall || c->cseq != m->cseq.number || !bl_str_eq(c->call_id, m->call_id) ||
                    bl_uri_parse(c->uri, &bind.uri) < 0)
                        continue;
                bind.expires_at = env->now + BL_SEC((uint64_t)(c->expires_at - env->wall) + 30);
                (void)bl_sticky_bind(j->home->node->sticky, &bind, env->now);
        }
}

static void answer(struct job *j)
{
        const struct bl_msg *m = bl_px_msg(j->px);
        struct bl_flow *f = bl_px_flow(j->px);
        size_t cap = 512 + m->octets.n * 3;
        for (unsigned i = 0; i < j->op.location.n; i++)
                cap += j->op.location.c[i].uri.n + j->op.location.c[i].params.n + 64;
        char *mem = bl_px_alloc(j->px, cap);
        struct bl_sb b = {mem, 0, mem ? cap : 0, false};
        put_contacts(&j->op.location, j->home->env->wall, &b);
        put_routes(j, &b);
        if (j->outbound)
                bl_sb_addz(&b, "Require: outbound\r\n");
        bl_sb_addz(&b, "Supported: path, outbound\r\n");
        if (b.over) {
                home_refuse(j->px, 503, "no_memory", HOME_NONE);
                return;
        }
        if (f) {
                uint32_t longest = 0;
                for (unsigned i = 0; i < j->op.location.n; i++) {
                        int64_t left = j->op.location.c[i].expires_at - j->home->env->wall;
                        if (left > (int64_t)longest)
                                longest = (uint32_t)left;
                }
                if (longest)
                        bl_hop_learn_server(bl_proxy_hops(j->home->proxy), f, m, longest);
                stick_direct(j, f);
        }
        bl_count(j->home->registered_total);
        bl_px_reply(j->px, &(struct bl_response){.status = 200, .extra = bl_sb_str(&b)}, true);
}

static void repeated(struct job *j, int rc)
{
        const struct bl_msg *m = bl_px_msg(j->px);
        for (unsigned i = 0; rc == 0 && i < j->op.location.n; i++) {
                const struct bl_contact *c = &j->op.location.c[i];
                if (c->cseq == m->cseq.number && bl_str_eq(c->call_id, m->call_id)) {
                        answer(j); /* a retransmission: the binding answers again */
                        return;
                }
        }
        home_refuse(j->px, 500, "register_out_of_order", BL_STR("CSeq Out of Order")); /* 10.3 step 7 */
}

static void updated(struct job *j, int rc)
{
        struct bl_store *s = j->home->node->c.store;
        if (rc == 0)
                answer(j);
        else if (rc == BL_EPROTO) {
                bl_store_end(&j->op);
                home_job_wait(j, s->ops->lookup(s, j->home->env, j->aor, &j->op), repeated);
        } else if (rc == BL_ELIMIT)
                home_refuse(j->px, 403, "too_many_contacts", BL_STR("Too Many Contacts"));
        else
                home_refuse(j->px, 503, "store_failed", HOME_NONE);
}

static void store(struct job *j)
{
        struct wanted w = {0};
        struct bl_nameaddrs it;
        struct bl_str path;
        const struct bl_msg *m = bl_px_msg(j->px);
        if (path_vector(j->px, &path) < 0) {
                home_refuse(j->px, 503, "no_memory", HOME_NONE);
                return;
        }
        int rc;
        bl_nameaddrs_init(&it, m, BL_H_CONTACT);
        while ((rc = bl_nameaddrs_next(&it, m)) > 0)
                if (!one_contact(j, &it.na, path, &w))
                        return;
        if (rc < 0) {
                home_refuse(j->px, 400, "bad_contact", BL_STR("Contact does not parse"));
                return;
        }
        if (!first_hop_ok(j))
                return;
        struct bl_store *s = j->home->node->c.store;
        if (w.n == 0 && !w.remove_all) /* a query, 10.2.3 */
                rc = s->ops->lookup(s, j->home->env, j->aor, &j->op);
        else
                rc = s->ops->update(s, j->home->env, j->aor, w.c, w.n, w.remove_all ? BL_STORE_REMOVE_ALL : 0, &j->op);
        home_job_wait(j, rc, updated);
}

/* --- guards and authentication --- */

static void authenticated(struct job *j, int rc)
{
        if (!home_digest_ok(j, rc, false))
                return;
        bl_store_end(&j->op);
        struct bl_nameaddr to;
        if (bl_msg_nameaddr(bl_px_msg(j->px), BL_H_TO, 0, &to) < 0 ||
            !bl_str_eq(j->user, home_unescape(j->px, to.uri.user))) { /* may this user register this AOR? */
                home_refuse(j->px, 403, "not_your_aor", BL_STR("Not Your Address of Record"));
                return;
        }
        if (j->edge)
                store(j);
        else
                redirect(j);
}

/* Did it come through a valid edge? Also says whether a Path that it carries may be believed. */
static bool valid_edge(struct job *j, struct bl_flow *f)
{
        bool via;
        struct bl_nameaddr na;
        if (!home_flow_is_edge(j->domain, f, &via))
                return false;
        if (!via)
                return true;
        /* Through an intermediate: the last Path value (nearest to the UA) must name an edge (requirement 4). */
        return bl_msg_nameaddr(bl_px_msg(j->px), BL_H_PATH, -1, &na) == 0 &&
               home_domain_has_edge(j->domain, na.uri.host);
}

static bool guard(struct bl_home *h, struct bl_px *px, struct job *j)
{
        const struct bl_msg *m = bl_px_msg(px);
        struct bl_nameaddr to;
        if (bl_msg_nameaddr(m, BL_H_TO, 0, &to) < 0) {
                home_refuse(px, 400, "bad_to", BL_STR("To does not parse"));
                return false;
        }
        j->domain = home_domain(h, to.uri.host);
        if (!j->domain ||
            (!bl_host_eq(m->uri.host, j->domain->name) && !home_domain_has_edge(j->domain, m->uri.host))) {
                home_refuse(px, 403, "unknown_domain", BL_STR("Not a Domain of This Registrar"));
                return false;
        }
        struct bl_str user = home_unescape(px, to.uri.user);
        if (user.n == 0) {
                home_refuse(px, 400, "bad_to", BL_STR("To has no user"));
                return false;
        }
        size_t n = user.n + 1 + j->domain->name.n;
        char *mem = bl_px_alloc(px, n);
        struct bl_sb b = {mem, 0, mem ? n : 0, false};
        bl_sb_add(&b, user);
        bl_sb_addc(&b, '@');
        bl_sb_add(&b, j->domain->name);
        j->aor = bl_sb_str(&b);
        return bl_px_require_ok(px);
}

void home_register(struct bl_home *h, struct bl_px *px, struct bl_flow *f)
{
        struct job *j = home_job_new(h, px);
        if (!j || !guard(h, px, j))
                return;
        bool valid = valid_edge(j, f);
        j->edge = valid || j->domain->policy == BL_HOME_ACCEPT;
        if (!valid && j->edge && bl_msg_has(bl_px_msg(px), BL_H_PATH) && !bl_flow_is_linked(f)) {
                /* Path steers later calls: it is stored only from flows whose far end we know. */
                home_refuse(px, 403, "path_not_trusted", BL_STR("Path from an Unknown Proxy"));
                return;
        }
        if (!j->edge && j->domain->policy == BL_HOME_REDIRECT)
                redirect(j);
        else if (!j->domain->no_auth)
                (void)home_digest_start(j, false, authenticated);
        else if (j->edge)
                store(j);
        else
                redirect(j);
}
