/* Private to conf/: the YAML document as a tree, and one load under way. */
#pragma once
#include "conf/conf.h"

enum {
        CONF_DEPTH = 16,      /* of collections in each other */
        CONF_NODES = 100000,  /* of a document */
        CONF_TEXT = 4 << 20,  /* octets of a document */
        CONF_ERRORS = 20,     /* told */
        CONF_ENTRIES = 10000, /* of a list or map without a limit of its own */
        CONF_ARENA = 64 << 20,
};

enum node_kind { NODE_SCALAR, NODE_LIST, NODE_MAP };
struct node {
        enum node_kind kind;
        bool quoted;        /* scalar: "…" or '…' */
        unsigned line, col; /* from 1 */
        struct bl_str text; /* scalar */
        struct node *first, *last, *next;
        struct node *value; /* of a key in a map */
        unsigned n;         /* children; pairs in a map */
};

struct load { /* one bl_conf_load */
        const char *file;
        struct bl_arena *arena;
        struct bl_sb *err;
        unsigned errors;
        bool no_memory;
        const char *default_of; /* reading this option's default */
        char path_text[256];
        struct bl_sb path;
};

struct bl_conf_check {
        struct load *load;
        const struct bl_conf_table *table;
        const struct node *node; /* of the table; NULL when made from defaults */
        const struct node **key; /* per option: where its key is; NULL: absent */
};

/* yaml.c: the tree of `text`; NULL after having complained. An empty document is an empty map. */
struct node *bl_yaml_parse(struct load *l, struct bl_str text);

/* report.c */
void bl_report(struct load *l, const struct node *at, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The name of `names` nearest to `word` if it is near enough to be what was meant, else NULL. */
const char *bl_report_nearest(struct bl_str word, const char *const *names, size_t n);
size_t bl_path_push(struct load *l, const char *sep, struct bl_str name); /* the length before, for bl_path_pop */
void bl_path_pop(struct load *l, size_t length);

/* value.c: one scalar into *at. False after having complained. */
bool bl_value_read(struct load *l, const struct bl_conf_option *o, const struct node *node, void *at);
void bl_value_put_ms(struct bl_sb *b, uint64_t ms); /* as the user would write it */
void bl_value_put_bytes(struct bl_sb *b, uint64_t octets);
