/*
 * Configuration: YAML text -> a role's own struct, by one table of options per role. The table is all there is: names,
 * types, ranges, defaults, units and help come from it, and so do the error messages and docs/configuration.md.
 *
 * How a role uses it:
 *   1. a plain struct that holds its options, in an header of its own (edge/conf.h: struct bl_edge_conf);
 *   2. a table of them:
 *
 *        static const struct bl_conf_option options[] = {
 *                {"cluster", BL_CONF_STR, BL_CONF_AT(struct bl_edge_conf, cluster), .required = true,
 *                 .help = "The name of the cluster, equal on all its edges."},
 *                {"flow_timer", BL_CONF_MS, BL_CONF_AT(struct bl_edge_conf, flow_timer_ms), .def = "120s",
 *                 .min = 10000, .max = 3600000, .live = true, .help = "…"},
 *                {"members", BL_CONF_MAP, BL_CONF_AT(struct bl_edge_conf, members), .elem = &member_addr,
 *                 .elem_size = sizeof(struct bl_edge_member), .help = "…"},
 *        };
 *        const struct bl_conf_table bl_edge_conf_table =
 *                BL_CONF_TABLE_OF(struct bl_edge_conf, options, .name = "edge", .check = check, .help = "…");
 *
 *   3. the server's table holds it as an option of type BL_CONF_TABLE.
 *
 * Everything a loaded configuration holds lives in its own arena until the last bl_conf_unref. It is never written to
 * after loading, so any thread may read it.
 *
 * In the table `def` is the text a user would write. An option without `def` that is not in the file leaves its member
 * zeroed: empty text, 0, address family 0, empty array, NULL table. Every message names file:line:column and the key's
 * path, says what is wrong and what to write instead; loading goes on after an error and reports up to 20 of them.
 */
#pragma once
#include "base/base.h"
#include "base/mem.h"

enum bl_conf_type {                 /* -> the member's C type */
                    BL_CONF_STR,    /* struct bl_str; min, max: its length; NUL-terminated behind its end */
                    BL_CONF_PATH,   /* struct bl_str: a file, made relative to the configuration file's folder;
                                       NUL-terminated. A word of `names` is none and stays as it is */
                    BL_CONF_DOMAIN, /* struct bl_str: a host name, made lower case, without a final dot; an address too
                                     */
                    BL_CONF_BOOL,   /* bool: true, false, yes, no, on, off */
                    BL_CONF_INT,    /* an unsigned integer of any size */
                    BL_CONF_MS,     /* an unsigned integer: 500ms, 10s, 5m, 12h, 7d; or 0 */
                    BL_CONF_BYTES,  /* an unsigned integer: 512, 64KiB, 10MiB, 1GiB */
                    BL_CONF_ENUM,   /* int: index into names */
                    BL_CONF_ADDR,   /* struct bl_addr; a missing port becomes default_port */
                    BL_CONF_NET,    /* struct bl_net: 10.0.0.0/8, or one address */
                    BL_CONF_POINT,  /* struct bl_conf_point: "udp 127.0.1.1:5060" */
                    BL_CONF_LIST,   /* struct bl_conf_array of `elem`; one value may stand without brackets */
                    BL_CONF_MAP,    /* struct bl_conf_array: each item begins with its key (struct bl_str), the value is
                                       where    elem->at says */
                    BL_CONF_TABLE,  /* pointer to the struct of `table`; NULL when absent and without def = "{}" */
};

struct bl_conf_point { /* "[WORD] TRANSPORT ADDRESS[:PORT]"; WORD one of the option's names, if it has any */
        enum bl_tp tp;
        int word; /* index into names, or -1 */
        struct bl_addr addr;
};

struct bl_conf_array {
        void *at;
        size_t n;
};
#define BL_CONF_ITEMS(array, type) ((type *)(array).at)

struct bl_conf_table;
struct bl_conf_option {
        const char *name;
        enum bl_conf_type type;
        size_t at, size; /* BL_CONF_AT */
        bool required;
        bool live;                         /* a reload applies it; else it takes a restart */
        const char *def;                   /* as in the file; NULL: zeroed when absent */
        uint64_t min, max;                 /* of the number, length, or count of entries; both 0: no limits */
        uint16_t default_port;             /* ADDR, POINT; 0 with POINT: the transport's own */
        const char *const *names;          /* ENUM, POINT, PATH: ends with NULL */
        const struct bl_conf_option *elem; /* LIST, MAP: what each value is (its at: offset inside the item) */
        size_t elem_size;                  /* LIST, MAP: of one item; 0 for a LIST = elem->size */
        bool domain_keys;                  /* MAP: keys are domains, made lower case */
        const struct bl_conf_table *table; /* TABLE */
        const char *help;                  /* whole sentences, Markdown */
        const char *example;               /* a value, for the manual; NULL: none */
};
#define BL_CONF_AT(struct_, member) .at = offsetof(struct_, member), .size = sizeof(((struct_ *)0)->member)
#define BL_CONF_ELEM(type_) .at = 0, .size = sizeof(type_)

struct bl_conf_check; /* one table while it is checked */
struct bl_conf_table {
        const char *name;
        size_t size; /* of the struct */
        const struct bl_conf_option *options;
        size_t n;
        const char *help;
        /* After all its options were read without an error: what one option alone cannot say. Complains by
         * bl_conf_complain; may also fill private members of `into`. May be NULL. */
        void (*check)(void *into, struct bl_conf_check *c);
};
#define BL_CONF_TABLE_OF(struct_, options_, ...)                                                                       \
        {                                                                                                              \
                .size = sizeof(struct_), .options = (options_), .n = BL_ARRAY_LEN(options_), __VA_ARGS__               \
        }

/* An error at `key` of the table under check (at the table itself when the key is absent or NULL). */
void bl_conf_complain(struct bl_conf_check *c, const char *key, const char *fmt, ...)
        __attribute__((format(printf, 3, 4)));
bool bl_conf_given(const struct bl_conf_check *c, const char *key); /* is it in the file */
struct bl_arena *bl_conf_check_arena(struct bl_conf_check *c);      /* for members that a check fills */

struct bl_conf; /* a loaded configuration, counted */
/*
 * Reads `text` (borrowed) by `root`. `file` is only named in messages, and its folder is what BL_CONF_PATH is relative
 * to. 0: *ret_conf holds one reference. Else errors are in `err`, one a line, each "FILE:LINE:COLUMN: KEY: what", and
 * BL_EMALFORMED (not YAML), BL_EINVAL (not a valid configuration) or BL_ENOMEM is returned.
 */
int bl_conf_load(const char *file, struct bl_str text, const struct bl_conf_table *root, struct bl_sb *err,
                 struct bl_conf **ret_conf) BL_MUSTCHECK;
const void *bl_conf_root(const struct bl_conf *c); /* the struct of the root table */
struct bl_conf *bl_conf_ref(struct bl_conf *c);    /* any thread */
void bl_conf_unref(struct bl_conf *c);             /* any thread; accepts NULL */

/* Calls `fn` with the path ("edge.members") of each option whose values differ between two structs of `table`. */
void bl_conf_diff(const struct bl_conf_table *table, const void *a, const void *b,
                  void (*fn)(void *arg, struct bl_str path, const struct bl_conf_option *o), void *arg);

/* The manual of a table and of all below it, Markdown. */
void bl_conf_manual(const struct bl_conf_table *root, struct bl_sb *out);
