/* Accounts: an address of record and its registrations. */
#include "lib/internal.h"

static int take_dhcp(struct belay_account *a, const struct belay_account_options *o, struct bl_sb *err)
{
        struct bl_str name = bl_str_z(o->dhcp_interface);
        a->dhcp = true;
        if (name.n < sizeof a->interface) {
                memcpy(a->interface, name.p ? name.p : "", name.n);
                return 0;
        }
        bl_sb_fmt(err, "dhcp_interface: \"%.200s\" is not the name of an interface", o->dhcp_interface);
        return BL_EINVAL;
}

static int fill(struct belay_account *a, const struct belay_account_options *o, struct bl_sb *err)
{
        struct bl_uri u;
        bool dhcp = bl_str_eq(bl_str_z(o->outbound_proxy), BL_STR("dhcp"));
        struct bl_ua_conf conf = {.aor = bl_str_z(o->aor),
                                  .display = bl_str_z(o->display_name),
                                  .auth_user = bl_str_z(o->auth_user),
                                  .password = bl_str_z(o->password),
                                  .instance = bl_str_z(o->instance),
                                  .outbound_proxy = bl_str_z(dhcp ? NULL : o->outbound_proxy),
                                  .flows = o->flows,
                                  .expires_s = o->expires_s,
                                  .retry_base_s = o->retry_s,
                                  .legacy = o->plain != 0,
                                  .event = lib_on_event,
                                  .ctx = a};
        if (bl_uri_parse(conf.aor, &u) < 0 || u.user.n == 0 || u.host.n == 0) {
                bl_sb_fmt(err, "aor: \"%.200s\" is not an address of record; write sip:user@domain",
                          o->aor ? o->aor : "");
                return BL_EINVAL;
        }
        if (conf.outbound_proxy.n && bl_uri_parse(conf.outbound_proxy, &u) < 0) {
                bl_sb_fmt(err, "outbound_proxy: \"%.200s\" is not a URI; write e.g. sip:edge.example.com;lr, or dhcp",
                          o->outbound_proxy);
                return BL_EINVAL;
        }
        if (dhcp && take_dhcp(a, o, err) < 0)
                return BL_EINVAL;
        a->ua = bl_ua_new(a->belay->stack, &conf);
        if (a->ua)
                return 0;
        bl_sb_addz(err, "the account's texts may have 255 octets each, and there must be memory");
        return BL_ELIMIT;
}

static void end_text(char *err, size_t size, const struct bl_sb *b)
{
        if (size)
                err[b->n] = '\0';
}

int belay_account_new(struct belay *b, const struct belay_account_options *o, char *err, size_t err_size,
                      struct belay_account **ret_account)
{
        struct belay_account_options opt;
        struct bl_sb text = {err, 0, err_size ? err_size - 1 : 0, false};
        struct belay_account *a = NULL;
        int rc = lib_take(&opt, sizeof opt, o, offsetof(struct belay_account_options, ctx) + sizeof opt.ctx);
        lib_enter(b);
        if (rc < 0)
                bl_sb_addz(&text, "the options have no size: belay_account_options_init first");
        else if (!(a = bl_pool_zalloc(b->env->pool, sizeof *a)))
                rc = BL_ENOMEM;
        if (a) {
                a->belay = b;
                a->event = opt.event;
                a->ctx = opt.ctx;
                bl_list_init(&a->calls);
                bl_list_push_back(&b->accounts, &a->link);
                rc = fill(a, &opt, &text);
        }
        end_text(err, err_size, &text);
        if (rc < 0)
                belay_account_free(a);
        else
                *ret_account = a;
        return rc;
}

void belay_account_free(struct belay_account *a)
{
        if (!a)
                return;
        struct belay *b = a->belay;
        lib_enter(b);
        lib_outbound_cancel(a);
        bl_ua_free(a->ua);
        while (!bl_list_empty(&a->calls))
                lib_call_free(BL_CONTAINER(a->calls.next, struct belay_call, link));
        bl_list_remove(&a->link);
        bl_pool_give(b->env->pool, a, sizeof *a);
}

int belay_register(struct belay_account *a)
{
        lib_enter(a->belay);
        if (a->dhcp && bl_ua_flows(a->ua) == 0)
                return lib_outbound_begin(a);
        bl_ua_start(a->ua);
        return 0;
}

int belay_unregister(struct belay_account *a)
{
        lib_enter(a->belay);
        lib_outbound_cancel(a);
        bl_ua_stop(a->ua);
        return 0;
}

unsigned belay_flows(const struct belay_account *a)
{
        return bl_ua_flows(a->ua);
}
