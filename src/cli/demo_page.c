/* The ladder as a page: one SVG, columns for who took part, arrows for messages, bars for what was done to them. */
#include <errno.h>
#include <stdio.h>

#include "cli/demo_internal.h"

enum { COLUMN = 170, LEFT = 100, ROW = 28, TOP = 60, PAGE_ROWS = 3000 };

/* The columns from left to right: alice, edges, home, bob. */
static unsigned column(const struct demo *d, unsigned node)
{
        if (node == ALICE)
                return 0;
        if (node >= EDGE1)
                return node - EDGE1 + 1;
        return node == HOME ? d->edges + 1 : d->edges + 2;
}

static unsigned x_of(const struct demo *d, unsigned node)
{
        return LEFT + column(d, node) * COLUMN;
}

static const char *colour(const char *label)
{
        if (label[0] == '2')
                return "#1a7f37";
        if (label[0] >= '3' && label[0] <= '6')
                return "#b35900";
        if (label[0] == '1')
                return "#777";
        return strncmp(label, "BYE", 3) == 0 ? "#8250df" : "#0550ae";
}

static bool shown(const struct demo *d, const struct sighting *s)
{
        return s->fault || d->all || s->call <= 2;
}

static void escaped(FILE *f, const char *s)
{
        for (; *s; s++) {
                if (*s == '<')
                        fputs("&lt;", f);
                else if (*s == '&')
                        fputs("&amp;", f);
                else
                        fputc(*s, f);
        }
}

static const char *rank_text(const struct choice *c)
{
        static const char *const texts[] = {"the sender named it", "exact match", "equivalent URI", "same domain",
                                            "opened for it"};
        return texts[c->rank % BL_ARRAY_LEN(texts)];
}

static const char *tp_text(enum bl_tp tp)
{
        return tp == BL_UDP ? "UDP" : tp == BL_TCP ? "TCP" : "TLS";
}

/* Under the arrow: which connection, and why that one; with all there is to say when the mouse is over it. */
static void put_why(FILE *f, const struct demo *d, const struct sighting *s, unsigned x, unsigned y)
{
        const struct choice *c = s->choice;
        if (!s->conn)
                return;
        fprintf(f, "<text x='%u' y='%u' class='w'>#%u", x, y + 9, s->conn->number);
        if (c && c->rank)
                fprintf(f, " · %u %s", c->rank, c->binding);
        else if (c)
                fprintf(f, " · %s", c->binding);
        fprintf(f, "<title>%s connection #%u, opened by %s: %s port %u to %s port %u", tp_text(s->conn->tp),
                s->conn->number, d->node[demo_node_by_addr(d, &s->conn->a)].name, d->node[s->from].name, s->source.port,
                d->node[s->to].name, s->target.port);
        if (c)
                fprintf(f, "; flow %llx of %s; %s, binding: %s", (unsigned long long)c->flow, d->node[s->from].name,
                        rank_text(c), c->binding);
        else if (s->label[0] >= '1' && s->label[0] <= '6')
                fputs("; the way its request came", f);
        fputs("</title></text>", f);
}

/* All connections, and what each carried. */
static void put_conns(FILE *f, const struct demo *d)
{
        fputs("<h2>Connections</h2>\n<table><tr><th>#<th>opened by<th>port<th>to<th>port<th>transport<th>from s<th>to "
              "s<th>SIP messages<th>octets on the wire</tr>\n",
              f);
        for (const struct conn *c = d->first_conn; c; c = c->next) {
                if (c->messages == 0)
                        continue;
                fprintf(f, "<tr><td>%u<td>%s<td>%u<td>%s<td>%u<td>%s<td>%.3f<td>", c->number,
                        d->node[demo_node_by_addr(d, &c->a)].name, c->a.port, d->node[demo_node_by_addr(d, &c->b)].name,
                        c->b.port, tp_text(c->tp), (double)(c->opened_at - d->started_at) / 1e6);
                if (c->closed_at)
                        fprintf(f, "%.3f", (double)(c->closed_at - d->started_at) / 1e6);
                fprintf(f, "<td>%u<td>%llu</tr>\n", c->messages, (unsigned long long)c->octets);
        }
        fputs("</table>\n", f);
}

static void row(FILE *f, const struct demo *d, const struct sighting *s, unsigned y, unsigned width)
{
        double t = (double)(s->at - d->started_at) / 1e6;
        fprintf(f, "<text x='8' y='%u' class='t'>%.3f</text>", y + 4, t);
        if (s->fault) {
                bool kill = strncmp(s->label, "SIGKILL", 7) == 0;
                fprintf(f, "<rect x='%d' y='%u' width='%u' height='14' class='%s'/><text x='%u' y='%u' class='%s'>",
                        LEFT - 30, y - 8, width - LEFT, kill ? "f" : "i", width / 2, y + 3, kill ? "ft" : "it");
                escaped(f, s->label);
                fputs("</text>\n", f);
                return;
        }
        unsigned a = x_of(d, s->from), b = x_of(d, s->to);
        const char *c = colour(s->label);
        int head = b > a ? -6 : 6;
        fprintf(f,
                "<line x1='%u' y1='%u' x2='%u' y2='%u' stroke='%s'/><path d='M%u %u l%d -3 l0 6 z' fill='%s'/><text "
                "x='%u' y='%u' fill='%s' class='m'>",
                a, y, b, y, c, b, y, head, c, (a + b) / 2, y - 2, c);
        escaped(f, s->label);
        if (s->call)
                fprintf(f, " · %u", s->call);
        fputs("</text>", f);
        put_why(f, d, s, (a + b) / 2, y);
        fputc('\n', f);
}

bool demo_write_page(const struct demo *d)
{
        FILE *f = fopen(d->page, "w");
        if (!f) {
                fprintf(stderr, "belay demo: %s: cannot be written: %s\n", d->page, strerror(errno));
                return false;
        }
        unsigned rows = 0, width = LEFT + (d->edges + 2) * COLUMN + 90;
        for (unsigned i = 0; i < d->n_seen; i++)
                rows += shown(d, &d->seen[i]);
        rows = rows < PAGE_ROWS ? rows : PAGE_ROWS;
        unsigned height = TOP + rows * ROW + 40;
        fprintf(f,
                "<!doctype html><html lang='en'><meta charset='utf-8'><title>belay "
                "demo</title>\n<style>body{font:15px/1.5 system-ui,sans-serif;margin:2em;color:#222}"
                "text{font:10px "
                "ui-monospace,monospace}.t{fill:#777}.m{text-anchor:middle}.f{fill:#ffebe9;stroke:#cf222e}.ft{text-"
                "anchor:middle;fill:#a40e26;font-weight:600}"
                ".h{font-size:13px;text-anchor:middle;font-weight:600}.l{stroke:#ccc}.w{font-size:9px;fill:#777;text-"
                "anchor:middle}table{border-collapse:collapse;font:13px ui-monospace,monospace}td,th{padding:0 1em 0 "
                "0;text-align:right}</style>\n<h1>Calls that outlive "
                "their edge</h1>\n"
                "<p>%u calls over %s; %u requests inside them lost. Each arrow was seen on the wire by an observer "
                "outside the programs%s; the first two calls are drawn, "
                "the number behind a label is the call's. Under an arrow: the connection, and for a request the rank "
                "and kind of the binding by which its sender chose it, as its sender logged it (1 exact match, 2 "
                "equivalent URI, 3 domain, 4 opened for it); the mouse tells more.</p>\n<svg width='%u' height='%u' "
                "xmlns='http://www.w3.org/2000/svg'>\n",
                d->calls, tp_text(d->tp), demo_lost(d),
                d->tp == BL_TLS ? ", who decrypted it with the keys that they logged" : "", width, height);
        for (unsigned i = 0; i < d->n_node; i++)
                fprintf(f, "<text x='%u' y='30' class='h'>%s</text><line x1='%u' y1='40' x2='%u' y2='%u' class='l'/>\n",
                        x_of(d, i), d->node[i].name, x_of(d, i), x_of(d, i), height - 20);
        unsigned y = TOP, n = 0;
        for (unsigned i = 0; i < d->n_seen && n < rows; i++) {
                if (!shown(d, &d->seen[i]))
                        continue;
                row(f, d, &d->seen[i], y, width);
                y += ROW;
                n++;
        }
        fputs("</svg>\n", f);
        put_conns(f, d);
        fputs("</html>\n", f);
        return fclose(f) == 0;
}
