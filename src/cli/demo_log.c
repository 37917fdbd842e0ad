/* What the programs say of the requests they send: the connection each chose, and by which binding. The observer sees
 * the request on the wire, and looks here for the reason. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/demo_internal.h"

static uint64_t key(unsigned node, struct bl_str branch, const struct bl_addr *remote)
{
        return bl_hash_mix(bl_hash(node, branch), bl_addr_hash(3, remote));
}

static struct choice *find(const struct demo *d, unsigned node, struct bl_str branch, const struct bl_addr *remote)
{
        for (struct bl_hnode *n = bl_htab_first(&d->choices, key(node, branch, remote)); n; n = bl_htab_next(n)) {
                struct choice *c = BL_CONTAINER(n, struct choice, node);
                if (c->by == node && bl_addr_eq(&c->remote, remote) && bl_str_eq(bl_str_z(c->branch), branch))
                        return c;
        }
        return NULL;
}

/* The value of `name` in key=value pairs; those asked for need no quotes. */
static struct bl_str field(struct bl_str line, const char *name)
{
        struct bl_str word, k, v;
        while (line.n) {
                (void)bl_str_cut(line, ' ', &word, &line);
                if (bl_str_cut(word, '=', &k, &v) && bl_str_eq(k, bl_str_z(name)))
                        return v;
        }
        return (struct bl_str){NULL, 0};
}

static void take_line(struct demo *d, unsigned node, struct bl_str line)
{
        struct bl_addr remote;
        uint64_t rank, flow;
        struct bl_str branch = field(line, "branch"), binding = field(line, "binding");
        if (!bl_str_eq(field(line, "event"), BL_STR("request_leaves")) ||
            bl_addr_parse_port(field(line, "remote"), 0, &remote) < 0 || bl_str_u64(field(line, "rank"), &rank) < 0 ||
            bl_str_u64(field(line, "flow"), &flow) < 0)
                return;
        struct choice *c = find(d, node, branch, &remote); /* asked again: the later choice counts */
        if (!c && (c = calloc(1, sizeof *c))) {
                snprintf(c->branch, sizeof c->branch, "%.*s", BL_STR_ARG(branch));
                c->by = node;
                c->remote = remote;
                if (bl_htab_insert(&d->choices, &c->node, key(node, branch, &remote)) < 0) {
                        free(c);
                        return;
                }
        }
        if (!c)
                return;
        c->rank = (uint8_t)rank;
        c->flow = flow;
        snprintf(c->binding, sizeof c->binding, "%.*s", BL_STR_ARG(binding));
}

/* The lines that came since the last time; one that is not whole yet waits for the next. */
static void read_log(struct demo *d, unsigned node)
{
        struct node *n = &d->node[node];
        char text[32768];
        ssize_t got;
        int fd = open(n->log_file, O_RDONLY | O_CLOEXEC);
        while (fd >= 0 && (got = pread(fd, text, sizeof text, n->log_at)) > 0) {
                struct bl_str rest = bl_str_make(text, (size_t)got), line;
                while (bl_str_cut(rest, '\n', &line, &rest)) {
                        take_line(d, node, line);
                        n->log_at += (off_t)line.n + 1;
                        got = 0;
                }
                if (got) /* no end of a line: the next time */
                        break;
        }
        if (fd >= 0)
                close(fd);
}

const struct choice *demo_choice(struct demo *d, unsigned node, struct bl_str branch, const struct bl_addr *remote)
{
        const struct choice *c = find(d, node, branch, remote);
        if (!c) { /* it was written before the request went out */
                read_log(d, node);
                c = find(d, node, branch, remote);
        }
        return c;
}

static void drop(struct bl_hnode *n, void *arg)
{
        (void)arg;
        free(BL_CONTAINER(n, struct choice, node));
}

void demo_log_end(struct demo *d)
{
        bl_htab_each(&d->choices, drop, NULL);
        bl_htab_fini(&d->choices);
}
