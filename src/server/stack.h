/*
 * One role of this node: its world of workers, its keys, its store, its part of the configuration. A node with both
 * roles has two, which know nothing of each other but what travels between them as SIP.
 */
#pragma once
#include "io/world.h"
#include "server/options.h"

enum bl_stack_role { BL_STACK_EDGE, BL_STACK_HOME };

struct bl_stack;
/*
 * Reads the files that the role names and builds everything; with `listen` also binds. `options` is borrowed for the
 * stack's life. 0; or < 0 and one line in err: what, where, what to do.
 */
int bl_stack_new(const struct bl_options *options, enum bl_stack_role role, bool listen, struct bl_sb *err,
                 struct bl_stack **ret_stack);
void bl_stack_free(struct bl_stack *s); /* accepts NULL; not while it runs */
struct bl_world *bl_stack_world(struct bl_stack *s);
const char *bl_stack_role_name(const struct bl_stack *s); /* "edge", "home" */
struct bl_flows *bl_stack_flows(struct bl_stack *s, unsigned worker);
struct bl_sticky *bl_stack_sticky(struct bl_stack *s);
struct bl_edge *bl_stack_edge(struct bl_stack *s, unsigned worker); /* NULL: a home */
/* Drains an edge in all its workers, or ends that (deadline_ms 0). From worker 0. 0, BL_ENOMEM. */
int bl_stack_drain(struct bl_stack *s, uint32_t deadline_ms);
bl_us bl_stack_started_at(const struct bl_stack *s);                  /* the world's clock when bl_stack_run began */
struct bl_log *bl_stack_log(struct bl_stack *s);                      /* worker 0's */
int bl_stack_run(struct bl_stack *s);                                 /* until its world is stopped; 0 or < 0 */
void bl_stack_set_log_level(struct bl_stack *s, enum bl_level level); /* from worker 0, for all workers */
/*
 * Reads home.users_file again, if there is one; from worker 0 of any stack. 1 done, 0 there is none; or < 0 and one
 * line in err, then the old users stay.
 */
int bl_stack_reload_users(struct bl_stack *s, struct bl_sb *err);
/* Trust, static map and nodes as `conf` (referenced) has them, on each worker between two turns; from worker 0 of any
 * stack. 0; or BL_ENOMEM and the old ones stay. */
int bl_stack_reload_tables(struct bl_stack *s, struct bl_conf *conf);
/*
 * Reads the role's key_file again: from then on its first key signs and all its keys verify; from worker 0 of any
 * stack. 0; or < 0 and one line in err, then the old keys stay.
 */
int bl_stack_reload_keys(struct bl_stack *s, struct bl_sb *err);
const struct bl_token_keys *bl_stack_keys(const struct bl_stack *s);
struct bl_str bl_stack_key_file(const struct bl_stack *s);
/*
 * Reads what tls of `o` names again; always from the same thread, whose log it is. 1: new connections have it; 0: this
 * stack has no TLS; or < 0 and one line in err, then what there is stays.
 */
int bl_stack_reload_tls(struct bl_stack *s, const struct bl_options *o, struct bl_log *log, struct bl_sb *err);
/* What is wrong with the certificates, but does not keep the stack from running. */
void bl_stack_doubts(struct bl_stack *s, int64_t wall,
                     void (*say)(void *arg, struct bl_str file, const char *reason, struct bl_str text), void *arg);
/* The store's bindings to the file of home.snapshot; nothing when there is none. Any thread. 0 or < 0. */
int bl_stack_save(struct bl_stack *s);
