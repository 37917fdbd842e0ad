#include "server/identity.h"

#include <string.h>

static const struct bl_str *items(const struct bl_conf_array *a)
{
        return a->at;
}

static bool is_file(struct bl_str ca)
{
        return ca.n && !bl_str_eq(ca, BL_STR("system"));
}

int bl_identity_load(const struct bl_options *o, const struct bl_token_keys *keys, struct bl_sb *err,
                     struct bl_creds **ret_creds)
{
        struct bl_creds_pair pairs[BL_CREDS_IDS];
        struct bl_creds_conf conf = {.pairs = pairs, .n_pairs = (unsigned)o->tls->cert.n, .ca = o->tls->ca};
        for (size_t i = 0; i < o->tls->cert.n; i++)
                pairs[i] = (struct bl_creds_pair){items(&o->tls->cert)[i],
                                                  o->tls->key.n ? items(&o->tls->key)[i] : (struct bl_str){0}};
        bl_token_derive(keys, BL_STR("tls tickets 1"), conf.ticket_secret);
        bl_token_derive(keys, BL_STR("tls tickets 2"), conf.ticket_secret + 32);
        int rc = bl_creds_new(&conf, err, ret_creds);
        explicit_bzero(conf.ticket_secret, sizeof(conf.ticket_secret));
        return rc;
}

unsigned bl_identity_paths(const struct bl_options *o, struct bl_str ret[BL_IDENTITY_PATHS])
{
        unsigned n = 0;
        if (!o->tls)
                return 0;
        for (size_t i = 0; i < o->tls->cert.n; i++)
                ret[n++] = items(&o->tls->cert)[i];
        for (size_t i = 0; i < o->tls->key.n; i++)
                ret[n++] = items(&o->tls->key)[i];
        if (is_file(o->tls->ca))
                ret[n++] = o->tls->ca;
        return n;
}

static void uncovered(const struct bl_creds *c, struct bl_str domain, struct bl_str file,
                      void (*say)(void *arg, struct bl_str file, const char *reason, struct bl_str text), void *arg)
{
        char text[512];
        struct bl_sb b = BL_SB(text);
        if (bl_creds_prove(c, domain))
                return;
        bl_sb_fmt(&b,
                  "no certificate proves %.*s: neither a SAN URI sip:%.*s nor a SAN DNS name of it; others will refuse "
                  "what we do in its name",
                  BL_STR_ARG(domain), BL_STR_ARG(domain));
        say(arg, file, "name_missing", bl_sb_str(&b));
}

void bl_identity_doubts(const struct bl_options *o, const struct bl_creds *creds, int64_t wall,
                        void (*say)(void *arg, struct bl_str file, const char *reason, struct bl_str text), void *arg)
{
        for (unsigned i = 0; i < bl_creds_count(creds); i++) {
                const struct bl_creds_id *id = bl_creds_get(creds, i);
                const char *reason = bl_creds_doubt(id, wall);
                if (!reason)
                        continue;
                int64_t days = (id->not_after - wall + 86399) / 86400; /* begun ones count */
                char text[128];
                struct bl_sb b = BL_SB(text);
                if (strcmp(reason, "expires_soon") == 0)
                        bl_sb_fmt(&b, "the certificate expires in %lld days; renew it", (long long)days);
                else
                        bl_sb_fmt(&b, "the certificate is %s; renew it",
                                  strcmp(reason, "expired") == 0 ? "expired" : "not yet valid (is the clock right?)");
                say(arg, id->file, reason, bl_sb_str(&b));
        }
        if (!bl_creds_count(creds))
                return;
        struct bl_str file = bl_creds_get(creds, 0)->file;
        if (o->edge)
                uncovered(creds, o->edge->conf.cluster, file, say, arg);
        for (size_t i = 0; o->home && i < o->home->domain.n; i++)
                uncovered(creds, items(&o->home->domain)[i], file, say, arg);
}

bool bl_identity_is_invalid(const struct bl_creds *creds, int64_t wall, struct bl_sb *err)
{
        for (unsigned i = 0; i < bl_creds_count(creds); i++) {
                const struct bl_creds_id *id = bl_creds_get(creds, i);
                if (wall >= id->not_before && wall <= id->not_after)
                        continue;
                bl_sb_fmt(err, "%.*s (tls.cert): the certificate is %s; the one in use stays", BL_STR_ARG(id->file),
                          wall > id->not_after ? "expired" : "not yet valid");
                return true;
        }
        return false;
}
