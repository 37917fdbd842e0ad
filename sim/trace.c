/* Every message: seen by observers, hashed, kept for the ladder. */
#include "sim/internal.h"

#include <stdarg.h>
#include <stdlib.h>

enum { NOTE_MAX = 4000, NOTE_LEN = 400 };

struct note {
        struct note *next;
        bl_us at;
        uint64_t order;
        char text[];
};
struct observer {
        struct observer *next;
        sim_observer fn;
        void *arg;
};
struct trigger {
        struct trigger *next;
        enum sim_phase phase;
        uint64_t left;
        void (*fn)(struct sim *, const struct sim_msg *, void *);
        void *arg;
};

void trace_mix(struct sim *s, uint64_t v)
{
        s->hash = bl_hash_mix(bl_hash_mix(s->hash, s->now), v);
}

struct tmsg *trace_msg(struct flow *f, const struct bl_addr *src, struct sim_node *to, struct bl_str octets)
{
        struct sim *s = f->w->node->sim;
        struct tmsg *t = sim_alloc(sizeof(*t) + octets.n);
        char c = octets.n ? bl_lower(octets.p[0]) : 0;
        t->refs = 1;
        memcpy(t->octets, octets.p, octets.n);
        t->m = (struct sim_msg){.id = ++s->n_msgs,
                                .sent_at = s->now,
                                .from = f->w->node,
                                .to = to,
                                .tp = f->tp,
                                .src = *src,
                                .dst = f->remote,
                                .sip = c >= 'a' && c <= 'z',
                                .octets = {t->octets, octets.n}};
        t->order = ++s->order;
        trace_mix(s, (uint64_t)f->w->node->index << 32 | (uint64_t)(to ? to->index : 0xffffff) << 8 | f->tp);
        trace_mix(s, bl_hash(0, octets));
        if (s->keep) {
                t->refs++;
                *s->trace_tail = t;
                s->trace_tail = &t->next;
        }
        return t;
}

void trace_unref(struct tmsg *t)
{
        if (--t->refs == 0)
                free(t);
}

void trace_lost(struct sim *s, struct tmsg *t)
{
        (void)s;
        t->m.lost = true;
}

void sim_observe(struct sim *s, sim_observer fn, void *arg)
{
        struct observer *o = NEW(struct observer), **at = &s->observers;
        *o = (struct observer){.fn = fn, .arg = arg};
        while (*at)
                at = &(*at)->next;
        *at = o;
}

void sim_before(struct sim *s, enum sim_phase phase, uint64_t n,
                void (*fn)(struct sim *, const struct sim_msg *, void *), void *arg)
{
        struct trigger *t = NEW(struct trigger), **at = &s->triggers;
        *t = (struct trigger){.phase = phase, .left = n ? n : 1, .fn = fn, .arg = arg};
        while (*at)
                at = &(*at)->next;
        *at = t;
}

static struct trigger *take_due(struct sim *s)
{
        for (struct trigger **at = &s->triggers; *at; at = &(*at)->next) {
                struct trigger *t = *at;
                if (t->left == 0) {
                        *at = t->next;
                        return t;
                }
        }
        return NULL;
}

/* All are counted before any runs: what one of them adds begins with the next message. */
static void run_triggers(struct sim *s, const struct sim_msg *m, enum sim_phase phase)
{
        for (struct trigger *t = s->triggers; t; t = t->next)
                if (t->phase == phase)
                        t->left--;
        for (struct trigger *t; (t = take_due(s)) != NULL; free(t))
                t->fn(s, m, t->arg);
}

/* A message reaches a phase; for SIM_DELIVER only once, however often the network repeats it. */
enum sim_verdict trace_phase(struct sim *s, struct tmsg *t, enum sim_phase phase)
{
        enum sim_verdict v = SIM_PASS;
        if (phase == SIM_DELIVER) {
                trace_mix(s, t->m.id << 8 | 'a');
                if (t->m.delivered_at)
                        return SIM_PASS;
                t->m.delivered_at = s->now;
        }
        if (t->m.sip)
                s->n_delivered[phase]++;
        t->refs++;
        for (struct observer *o = s->observers; o; o = o->next)
                if (o->fn(s, &t->m, phase, o->arg) == SIM_DROP)
                        v = SIM_DROP;
        if (t->m.sip)
                run_triggers(s, &t->m, phase);
        trace_unref(t);
        return v;
}

uint64_t sim_delivered(const struct sim *s)
{
        return s->n_delivered[SIM_DELIVER];
}

void sim_keep_trace(struct sim *s, bool keep)
{
        s->keep = keep;
}

uint64_t sim_trace_hash(const struct sim *s)
{
        return s->hash;
}

const struct sim_msg *sim_trace_first(const struct sim *s)
{
        return s->trace_first ? &s->trace_first->m : NULL;
}

const struct sim_msg *sim_trace_next(const struct sim_msg *m)
{
        const struct tmsg *t = (const struct tmsg *)(const void *)m;
        return t->next ? &t->next->m : NULL;
}

void sim_note(struct sim *s, const char *fmt, ...)
{
        if (!s->keep || s->n_notes >= NOTE_MAX)
                return;
        char line[NOTE_LEN];
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(line, sizeof(line), fmt, ap);
        va_end(ap);
        size_t n = strlen(line);
        struct note *o = sim_alloc(sizeof(*o) + n + 1);
        memcpy(o->text, line, n);
        o->at = s->now;
        o->order = ++s->order;
        *s->note_tail = o;
        s->note_tail = &o->next;
        s->n_notes++;
}

const char *sim_note_next(const struct sim *s, const void **cursor)
{
        const struct note *o = *cursor ? ((const struct note *)*cursor)->next : s->note_first;
        if (!o)
                return NULL;
        *cursor = o;
        return o->text;
}

void trace_fini(struct sim *s)
{
        for (struct tmsg *t = s->trace_first, *next; t; t = next) {
                next = t->next;
                trace_unref(t);
        }
        for (struct note *o = s->note_first, *next; o; o = next) {
                next = o->next;
                free(o);
        }
        for (struct observer *o = s->observers, *next; o; o = next) {
                next = o->next;
                free(o);
        }
        for (struct trigger *t = s->triggers, *next; t; t = next) {
                next = t->next;
                free(t);
        }
}

/* --- the ladder --- */

static double seconds(bl_us at)
{
        return (double)(at - BL_SEC(1000)) / 1e6;
}

static struct bl_str line_of(struct bl_str *rest)
{
        struct bl_str line;
        if (!bl_str_cut(*rest, '\n', &line, rest))
                *rest = bl_str_make(NULL, 0);
        return bl_str_trim(line);
}

static void print_msg(FILE *out, const struct sim_msg *m)
{
        struct bl_str rest = m->octets, line;
        fprintf(out, "%11.6f  %-8s %s %-8s %.*s ", seconds(m->sent_at), m->from->name, m->lost ? "──✗" : "──►",
                m->to ? m->to->name : "?", BL_STR_ARG(bl_tp_param(m->tp)));
        if (!m->sip) {
                fprintf(out, "(keep-alive, %zu octets)\n", m->octets.n);
                return;
        }
        line = line_of(&rest);
        fprintf(out, "%.*s", BL_STR_ARG(line));
        static const char *const shown[] = {"CSeq:", "Route:", "Contact:", "Path:", "Outbound-Proxy:"};
        while (rest.n && (line = line_of(&rest)).n)
                for (size_t i = 0; i < BL_ARRAY_LEN(shown); i++)
                        if (bl_str_starts(line, bl_str_z(shown[i])))
                                fprintf(out, " | %.*s", BL_STR_ARG(line));
        fputc('\n', out);
}

void sim_ladder(const struct sim *s, FILE *out, bool all)
{
        fprintf(out, "seed %llu, until %.6f\n", (unsigned long long)s->seed, seconds(s->now));
        const struct tmsg *t = s->trace_first;
        const struct note *o = s->note_first;
        while (t || o) {
                if (o && (!t || o->order < t->order)) {
                        fprintf(out, "%11.6f  ** %s\n", seconds(o->at), o->text);
                        o = o->next;
                        continue;
                }
                if (all || t->m.sip)
                        print_msg(out, &t->m);
                t = t->next;
        }
}
