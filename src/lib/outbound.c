/* The proxies to start with as DHCP names them (protocol.md section 2 step 8). */
#include "base/hash.h"
#include "lib/internal.h"

/* Says it once, and again when it is something else. */
static void say(struct belay_account *a, struct bl_str uris, struct bl_str from)
{
        struct bl_ua_event ev = {.text = uris, .reason = from};
        uint64_t hash = bl_hash_mix(bl_hash(1, uris), bl_hash(2, from));
        if (hash == a->said)
                return;
        a->said = hash;
        lib_tell(a, BELAY_OUTBOUND, &ev, NULL, NULL);
}

static void on_found(void *arg, const struct bl_dhcp_sip *list, struct bl_str from)
{
        struct belay_account *a = arg;
        char text[BL_DHCP_SERVERS * (BL_DHCP_NAME_MAX + 10)];
        struct bl_sb b = BL_SB(text);
        struct bl_str uri[BL_DHCP_SERVERS];
        unsigned n = 0;
        a->find = NULL;
        for (; list && n < list->n && n < BL_UA_PROXIES; n++) {
                if (n)
                        bl_sb_addc(&b, ' ');
                size_t start = b.n;
                bl_dhcp_put_uri(&list->at[n], &b);
                uri[n] = bl_str_make(text + start, b.n - start);
        }
        /* Nothing found while we had something: a server may be down for a moment, or the lease is another one's now.
         */
        if (n || a->waiting)
                (void)bl_ua_set_proxies(a->ua, uri, n); /* without memory: discovery */
        bool start = a->waiting;
        a->waiting = false;
        say(a, bl_sb_str(&b), from);
        if (start)
                bl_ua_start(a->ua);
}

static int ask(struct belay_account *a)
{
        struct bl_dhcp_conf conf = {.interface = bl_str_z(a->interface)};
        return bl_dhcp_find(a->belay->world, &conf, on_found, a, &a->find);
}

int lib_outbound_begin(struct belay_account *a)
{
        a->waiting = true;
        return a->find ? 0 : ask(a);
}

void lib_outbound_again(struct belay_account *a)
{
        if (a->dhcp && !a->find && bl_ua_flows(a->ua) == 0)
                (void)ask(a); /* without memory: the next round asks */
}

void lib_outbound_cancel(struct belay_account *a)
{
        bl_dhcp_cancel(a->find);
        a->find = NULL;
        a->waiting = false;
}
