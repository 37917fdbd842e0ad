/*
 * The snapshot of the in-memory store: one binding a line, tab-separated, so that a torn or edited file loses the lines
 * that are torn and no more. Octets that would break a line are written %XX. The last field is a check sum.
 *
 *      aor  uri  instance  path  params  call-id  reg-id  cseq  q  expires  updated  order  sum
 */
#include <stdlib.h>

#include "store/mem_internal.h"

enum { NUMBERS = 6, FIELDS = 1 + MEM_TEXTS + NUMBERS, SUM_CHARS = 16 };

static void put_text(struct bl_sb *b, struct bl_str s)
{
        for (size_t i = 0; i < s.n; i++) {
                unsigned char c = (unsigned char)s.p[i];

                if (c > 0x20 && c != 0x7f && c != '%') {
                        bl_sb_addc(b, (char)c);
                } else {
                        bl_sb_addc(b, '%');
                        bl_sb_hex(b, &c, 1);
                }
        }
        bl_sb_addc(b, '\t');
}

static void put_sum(struct bl_sb *b, struct bl_str line)
{
        uint64_t sum = bl_hash(1, line);
        uint8_t octets[8];

        for (unsigned i = 0; i < sizeof(octets); i++)
                octets[i] = (uint8_t)(sum >> (56 - 8 * i));
        bl_sb_hex(b, octets, sizeof(octets));
}

static void put_contact(struct bl_sb *b, const struct mem_aor *a, struct bl_contact c)
{
        const uint64_t numbers[NUMBERS] = {c.reg_id, c.cseq, c.q, (uint64_t)c.expires_at, (uint64_t)c.updated_at,
                                           c.order};
        struct bl_str *text[MEM_TEXTS];
        size_t start = b->n;

        put_text(b, bl_str_make(a->text, a->len));
        bl_mem_strings(&c, text);
        for (unsigned i = 0; i < MEM_TEXTS; i++)
                put_text(b, *text[i]);
        for (unsigned i = 0; i < NUMBERS; i++) {
                bl_sb_addu(b, numbers[i]);
                bl_sb_addc(b, '\t');
        }
        put_sum(b, bl_str_make(b->p + start, b->n - start));
        bl_sb_addc(b, '\n');
}

/* At most this many octets: each may become three. */
static size_t line_max(const struct mem_aor *a, const struct bl_contact *c)
{
        size_t text = a->len + c->uri.n + c->instance.n + c->path.n + c->params.n + c->call_id.n;

        return 3 * text + (1 + MEM_TEXTS) + (size_t)NUMBERS * 21 + SUM_CHARS + 1;
}

/* One shard, written under its lock. */
static int save_shard(struct mem_shard *s, struct bl_sb *ret_text)
{
        size_t need = 0;

        BL_LIST_EACH(l, &s->all)
        {
                const struct mem_aor *a = BL_CONTAINER(l, struct mem_aor, link);

                for (const struct mem_contact *c = a->contacts; c; c = c->next)
                        need += line_max(a, &c->c);
        }
        *ret_text = (struct bl_sb){need ? malloc(need) : NULL, 0, need, false};
        if (need && !ret_text->p)
                return BL_ENOMEM;
        BL_LIST_EACH(l, &s->all)
        {
                const struct mem_aor *a = BL_CONTAINER(l, struct mem_aor, link);

                for (const struct mem_contact *c = a->contacts; c; c = c->next)
                        put_contact(ret_text, a, c->c);
        }
        return 0;
}

int bl_store_mem_save(struct bl_store *store, int (*put)(void *arg, struct bl_str octets), void *arg)
{
        struct mem *m = bl_mem_of(store);
        int rc = 0;

        for (unsigned i = 0; rc == 0 && i < MEM_SHARDS; i++) {
                struct bl_sb text = {0};

                pthread_mutex_lock(&m->shard[i].lock);
                rc = save_shard(&m->shard[i], &text);
                pthread_mutex_unlock(&m->shard[i].lock);
                if (rc == 0 && text.n)
                        rc = put(arg, bl_sb_str(&text));
                free(text.p);
        }
        return rc < 0 ? rc : 0;
}

/* In place; false for what this did not write. */
static bool read_text(struct bl_str *s, char *out)
{
        size_t n = 0;

        for (size_t i = 0; i < s->n; i++) {
                if (s->p[i] != '%') {
                        out[n++] = s->p[i];
                        continue;
                }
                if (s->n - i < 3 || bl_hex_decode(bl_str_make(s->p + i + 1, 2), out + n, 1) != 1)
                        return false;
                n++;
                i += 2;
        }
        *s = bl_str_make(out, n);
        return true;
}

static bool sum_is_right(struct bl_str line, struct bl_str *ret_fields)
{
        char text[SUM_CHARS];
        struct bl_sb sum = BL_SB(text);

        if (line.n <= SUM_CHARS)
                return false;
        *ret_fields = bl_str_make(line.p, line.n - SUM_CHARS);
        put_sum(&sum, *ret_fields);
        return bl_str_eq(bl_sb_str(&sum), bl_str_from(line, line.n - SUM_CHARS));
}

/* `scratch` holds as much as the line. */
static bool read_line(struct bl_str line, char *scratch, struct bl_str *ret_aor, struct bl_contact *ret_contact)
{
        struct bl_str fields, field[FIELDS], *text[MEM_TEXTS];
        uint64_t numbers[NUMBERS];
        struct bl_contact c = {0};

        if (!sum_is_right(line, &fields))
                return false;
        for (unsigned i = 0; i < FIELDS; i++)
                if (!bl_str_cut(fields, '\t', &field[i], &fields))
                        return false;
        for (unsigned i = 0; i < 1 + MEM_TEXTS; i++) {
                size_t len = field[i].n;

                if (!read_text(&field[i], scratch))
                        return false;
                scratch += len;
        }
        for (unsigned i = 0; i < NUMBERS; i++)
                if (bl_str_u64(field[1 + MEM_TEXTS + i], &numbers[i]) < 0)
                        return false;
        bl_mem_strings(&c, text);
        for (unsigned i = 0; i < MEM_TEXTS; i++)
                *text[i] = field[1 + i];
        c.reg_id = (uint32_t)numbers[0];
        c.cseq = (uint32_t)numbers[1];
        c.q = (uint16_t)numbers[2];
        c.expires_at = (int64_t)numbers[3];
        c.updated_at = (int64_t)numbers[4];
        c.order = numbers[5];
        *ret_aor = field[0];
        *ret_contact = c;
        return ret_aor->n > 0 && c.uri.n > 0;
}

/* Puts a binding where its order says. One that is newer in the store stays. */
static int load_contact(struct mem *m, struct bl_str aor, const struct bl_contact *c)
{
        uint64_t hash, order = atomic_load_explicit(&m->order, memory_order_relaxed);
        struct mem_shard *s = bl_mem_lock(m, aor, &hash);
        struct mem_aor *a = bl_mem_get(s, hash, aor);
        struct mem_contact **at = a ? bl_mem_slot(a, c) : NULL, *new = NULL;

        bool there = at && *at;

        if (at && !there)
                new = bl_mem_copy(NULL, c);
        if (new) {
                for (at = &a->contacts; *at && (*at)->c.order > c->order;)
                        at = &(*at)->next;
                new->next = *at;
                *at = new;
                a->n++;
                atomic_fetch_add_explicit(&m->count, 1, memory_order_relaxed);
        }
        pthread_mutex_unlock(&s->lock);
        while (c->order > order && !atomic_compare_exchange_weak(&m->order, &order, c->order))
                ;
        return new || there ? 0 : BL_ENOMEM;
}

int bl_store_mem_load(struct bl_store *store, struct bl_str octets, int64_t wall, unsigned *ret_skipped)
{
        struct mem *m = bl_mem_of(store);
        char *scratch = octets.n ? malloc(octets.n) : NULL;
        unsigned skipped = 0;
        struct bl_str line;
        int rc = octets.n && !scratch ? BL_ENOMEM : 0;

        while (rc == 0 && octets.n) {
                struct bl_contact c;
                struct bl_str aor;

                (void)bl_str_cut(octets, '\n', &line, &octets);
                if (line.n == 0)
                        continue;
                if (!read_line(line, scratch, &aor, &c))
                        skipped++;
                else if (c.expires_at > wall)
                        rc = load_contact(m, aor, &c);
        }
        free(scratch);
        if (rc == 0)
                *ret_skipped = skipped;
        return rc;
}
