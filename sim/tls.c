/*
 * TLS as far as the core can see it: who shows which certificate. Nothing is encrypted and no octet is added; a
 * handshake costs a round trip, and both ends are told what the other has shown when the flow comes up.
 */
#include "sim/internal.h"

#include <stdlib.h>

enum { CERT_NAMES = 32 };

struct cert { /* as shown; lives as long as its node, for connections may still tell of it */
        struct cert *next;
        struct bl_str uri[CERT_NAMES], dns[CERT_NAMES], cn, bad;
        uint16_t n_uri, n_dns;
        char text[];
};
struct ticket {
        struct ticket *next;
        char name[256], key[NAME_LEN];
};

static struct cert *cert_new(const struct sim_cert *from)
{
        size_t n = strlen(from->names), n_bad = from->bad ? strlen(from->bad) : 0;
        struct cert *c = sim_alloc(sizeof(*c) + n + n_bad);
        memcpy(c->text, from->names, n);
        if (n_bad)
                memcpy(c->text + n, from->bad, n_bad);
        c->bad = bl_str_make(c->text + n, n_bad);
        struct bl_str word, rest = bl_str_make(c->text, n);
        while (rest.n) {
                bl_str_cut(rest, ' ', &word, &rest);
                if (bl_str_starts(word, BL_STR("cn=")))
                        c->cn = bl_str_from(word, 3);
                else if (c->n_uri == CERT_NAMES || c->n_dns == CERT_NAMES)
                        abort();
                else if (bl_str_find(word, ':') >= 0)
                        c->uri[c->n_uri++] = word;
                else
                        c->dns[c->n_dns++] = word;
        }
        return c;
}

void sim_certs(struct sim_node *n, const struct sim_cert *certs, unsigned n_certs)
{
        if (n_certs > SIM_CERTS)
                abort();
        for (unsigned i = 0; i < n_certs; i++) {
                struct cert *c = cert_new(&certs[i]);
                c->next = n->cert_all;
                n->cert[i] = n->cert_all = c;
        }
        n->n_certs = n_certs;
}

void sim_ticket_key(struct sim_node *n, const char *key)
{
        snprintf(n->ticket_key, sizeof(n->ticket_key), "%s", key);
}

const struct cert *tls_client(const struct sim_node *n)
{
        return n->n_certs ? n->cert[0] : NULL;
}

static bool has_name(const struct cert *c, struct bl_str name)
{
        for (unsigned i = 0; i < c->n_dns; i++)
                if (bl_str_ieq(c->dns[i], name))
                        return true;
        for (unsigned i = 0; i < c->n_uri; i++)
                if (c->uri[i].n > 4 && bl_str_ieq(bl_str_from(c->uri[i], 4), name))
                        return true;
        return false;
}

const struct cert *tls_server(const struct sim_node *n, struct bl_str asked)
{
        for (unsigned i = 0; i < n->n_certs; i++)
                if (asked.n && has_name(n->cert[i], asked))
                        return n->cert[i];
        return tls_client(n);
}

void tls_peer(const struct cert *c, struct bl_peer *p)
{
        if (!c) {
                p->chain = BL_ENOENT;
                return;
        }
        p->uri_san = c->uri;
        p->n_uri = c->n_uri;
        p->dns_san = c->dns;
        p->n_dns = c->n_dns;
        p->cn = c->cn;
        p->chain = c->bad.n ? BL_EPROTO : 0;
        p->chain_text = c->bad;
}

struct bl_str tls_asked(struct bl_str name)
{
        struct bl_addr a;
        return bl_addr_parse(name, &a) == 0 ? bl_str_make(NULL, 0) : name;
}

/* A ticket is good wherever its key is known: on every node that has the same. */
bool tls_resume(struct sim_node *client, const struct sim_node *server, struct bl_str name)
{
        for (const struct ticket *t = client->tickets; t; t = t->next)
                if (strcmp(t->key, server->ticket_key) == 0 && bl_str_ieq(bl_str_z(t->name), name))
                        return true;
        if (!server->ticket_key[0] || name.n >= sizeof(((struct ticket *)0)->name))
                return false;
        struct ticket *t = NEW(struct ticket);
        memcpy(t->name, name.p, name.n);
        snprintf(t->key, sizeof(t->key), "%s", server->ticket_key);
        t->next = client->tickets;
        client->tickets = t;
        return false;
}

void tls_forget(struct sim_node *n)
{
        for (struct ticket *t = n->tickets, *next; t; t = next) {
                next = t->next;
                free(t);
        }
        n->tickets = NULL;
}

void tls_fini(struct sim_node *n)
{
        tls_forget(n);
        for (struct cert *c = n->cert_all, *next; c; c = next) {
                next = c->next;
                free(c);
        }
}
