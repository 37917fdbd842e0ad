/* libyaml's events into a tree that keeps lines and columns. */
#include <yaml.h>

#include "conf/internal.h"

struct builder {
        struct load *l;
        struct node *stack[CONF_DEPTH], *root;
        struct node *key[CONF_DEPTH]; /* of a map: waits for its value */
        unsigned depth, nodes;
        bool failed;
};

static struct node *new_node(struct builder *b, enum node_kind kind, const yaml_event_t *e)
{
        struct node *n = b->nodes++ < CONF_NODES ? bl_arena_zalloc(b->l->arena, sizeof(*n)) : NULL;
        if (!n) {
                b->failed = b->l->no_memory = true;
                return NULL;
        }
        n->kind = kind;
        n->line = (unsigned)e->start_mark.line + 1;
        n->col = (unsigned)e->start_mark.column + 1;
        return n;
}

static void add_child(struct node *parent, struct node *n)
{
        if (parent->last)
                parent->last->next = n;
        else
                parent->first = n;
        parent->last = n;
        parent->n++;
}

/* Hangs a finished or begun node where it belongs: root, list item, key or value. */
static void place(struct builder *b, struct node *n)
{
        struct node *top = b->depth ? b->stack[b->depth - 1] : NULL;
        if (!top) {
                b->root = n;
                return;
        }
        if (top->kind == NODE_LIST) {
                add_child(top, n);
        } else if (b->key[b->depth - 1]) {
                b->key[b->depth - 1]->value = n;
                b->key[b->depth - 1] = NULL;
        } else if (n->kind != NODE_SCALAR) {
                bl_report(b->l, n, "a key must be a plain word");
                b->failed = true;
        } else {
                add_child(top, n);
                b->key[b->depth - 1] = n;
        }
}

static void scalar(struct builder *b, const yaml_event_t *e)
{
        struct node *n = new_node(b, NODE_SCALAR, e);
        struct bl_str text = {(const char *)e->data.scalar.value, e->data.scalar.length};
        if (!n)
                return;
        char *copy = bl_arena_alloc(b->l->arena, text.n + 1); /* with NUL: for file names */
        if (!copy) {
                b->failed = b->l->no_memory = true;
                return;
        }
        memcpy(copy, text.p, text.n);
        copy[text.n] = '\0';
        n->text = bl_str_make(copy, text.n);
        n->quoted = e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
        place(b, n);
}

static void begin(struct builder *b, enum node_kind kind, const yaml_event_t *e)
{
        struct node *n = new_node(b, kind, e);
        if (!n)
                return;
        if (b->depth == CONF_DEPTH) {
                bl_report(b->l, n, "too deep: lists and maps may be %d deep in each other", CONF_DEPTH);
                b->failed = true;
                return;
        }
        place(b, n);
        b->key[b->depth] = NULL;
        b->stack[b->depth++] = n;
}

static void take(struct builder *b, const yaml_event_t *e, unsigned *documents)
{
        struct node at = {.line = (unsigned)e->start_mark.line + 1, .col = (unsigned)e->start_mark.column + 1};
        switch (e->type) {
        case YAML_DOCUMENT_START_EVENT:
                if (++*documents > 1) {
                        bl_report(b->l, &at, "a second document begins here; a configuration is one");
                        b->failed = true;
                }
                break;
        case YAML_ALIAS_EVENT:
                bl_report(b->l, &at, "aliases (*name) are not supported; write the value out");
                b->failed = true;
                break;
        case YAML_SCALAR_EVENT:
                scalar(b, e);
                break;
        case YAML_SEQUENCE_START_EVENT:
                begin(b, NODE_LIST, e);
                break;
        case YAML_MAPPING_START_EVENT:
                begin(b, NODE_MAP, e);
                break;
        case YAML_SEQUENCE_END_EVENT:
        case YAML_MAPPING_END_EVENT:
                b->depth--;
                break;
        default:
                break;
        }
}

static void syntax_error(struct load *l, const yaml_parser_t *p)
{
        struct node at = {.line = (unsigned)p->problem_mark.line + 1, .col = (unsigned)p->problem_mark.column + 1};
        const char *problem = p->problem ? p->problem : "cannot be read";
        const char *hint = "";
        if (p->error == YAML_MEMORY_ERROR) {
                l->no_memory = true;
                return;
        }
        if (p->error == YAML_READER_ERROR) {
                at.line = at.col = 1;
                hint = " (the file must be UTF-8 text)";
        } else if (strstr(problem, "cannot start any token")) {
                hint = " (a tab? indent with spaces; an address like [::1]:5060 needs quotes)";
        } else if (strstr(problem, "did not find expected ',' or")) {
                hint = " (a bracket that is not closed? an address like [::1]:5060 needs quotes)";
        }
        if (p->context && p->context_mark.line != p->problem_mark.line)
                bl_report(l, &at, "not valid YAML: %s, %s that begins in line %u%s", problem, p->context,
                          (unsigned)p->context_mark.line + 1, hint);
        else
                bl_report(l, &at, "not valid YAML: %s%s", problem, hint);
}

static bool run(struct builder *b, yaml_parser_t *p)
{
        unsigned documents = 0;
        for (bool end = false; !end && !b->failed;) {
                yaml_event_t e;
                if (!yaml_parser_parse(p, &e)) {
                        syntax_error(b->l, p);
                        return false;
                }
                end = e.type == YAML_STREAM_END_EVENT;
                take(b, &e, &documents);
                yaml_event_delete(&e);
        }
        return !b->failed;
}

struct node *bl_yaml_parse(struct load *l, struct bl_str text)
{
        struct builder b = {.l = l};
        yaml_parser_t p;
        if (text.n > CONF_TEXT) {
                struct node at = {.line = 1, .col = 1};
                bl_report(l, &at, "too long: a configuration has at most %d octets", CONF_TEXT);
                return NULL;
        }
        if (!yaml_parser_initialize(&p)) {
                l->no_memory = true;
                return NULL;
        }
        yaml_parser_set_encoding(&p, YAML_UTF8_ENCODING);
        yaml_parser_set_input_string(&p, (const unsigned char *)text.p, text.n);
        bool ok = run(&b, &p);
        yaml_parser_delete(&p);
        if (!ok)
                return NULL;
        if (!b.root) {
                b.root = bl_arena_zalloc(l->arena, sizeof(*b.root));
                if (!b.root) {
                        l->no_memory = true;
                        return NULL;
                }
                b.root->kind = NODE_MAP;
                b.root->line = b.root->col = 1;
        }
        return b.root;
}
