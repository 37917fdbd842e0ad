/* Shared by the files of lib/: what stands behind the handles of include/belay/belay.h. */
#pragma once
#include <belay/belay.h>
#include <stdatomic.h>

#include "base/list.h"
#include "io/dhcp.h"
#include "io/world.h"
#include "ua/ua.h"

struct job { /* posted from any thread */
        struct job *next;
        void (*fn)(struct belay *b, void *arg);
        void *arg;
};

struct belay {
        struct bl_world *world;
        struct env *env;
        struct bl_ua_stack *stack;
        struct bl_ua_stack_conf conf; /* the stack borrows it */
        struct bl_static_route *map;
        struct bl_link accounts, timers;
        _Atomic(struct job *) jobs; /* newest first */
        struct bl_post wake;        /* travels while `woken` */
        atomic_bool woken;
        char *text; /* hosts of the map */
};

struct belay_account {
        struct belay *belay;
        struct bl_link link, calls;
        struct bl_ua *ua;
        void (*event)(void *ctx, const struct belay_event *e);
        void *ctx;
        /* outbound_proxy "dhcp" */
        bool dhcp;
        bool waiting;              /* to register, for what `find` brings */
        char interface[32];        /* or empty */
        struct bl_dhcp_find *find; /* under way */
        uint64_t said;             /* hash of the last OUTBOUND */
};

enum call_state {
        CALL_OUT, /* our INVITE has no final answer */
        CALL_IN,  /* theirs has none */
        CALL_OK,  /* theirs has a 2xx, not its ACK yet */
        CALL_UP,
        CALL_OVER /* BYE went or came, or it never came up; ENDED follows with the dialog's end */
};
struct belay_call {
        struct belay_account *account;
        struct bl_link link;
        struct bl_dialog *dialog;
        struct bl_ua_request *invite;    /* the first one, while it has no final answer */
        struct bl_ua_request *re_invite; /* ours within the call, likewise */
        enum call_state state;
        bool incoming, hanging_up;
        struct bl_timer over; /* ENDED, when all that belongs to this turn is told */
        bool local;           /* for ENDED … */
        unsigned status;      /* … likewise */
        void *user;
        char id[256]; /* Call-ID; a longer one is cut */
};

struct belay_timer {
        struct belay *belay;
        struct bl_link link;
        struct bl_timer timer;
        void (*fn)(struct belay *b, void *arg);
        void *arg;
};

/* Copies an option struct of an older or newer program: what it does not have is zero. BL_EINVAL without a size. */
int lib_take(void *ret, size_t size, const void *from, size_t least);
/* Every call of the application's goes through here: env->now is true, and the turn is ended before the loop waits. */
void lib_enter(struct belay *b);

/* What a belay_content says. BL_EINVAL: lines that are none, or a type with a line break. */
struct content {
        struct bl_str extra;
        struct bl_ua_body body;
        const struct bl_ua_body *has_body; /* NULL: none */
};
int lib_content(const struct belay_content *c, struct content *ret);

/* The handles of requests are the UA's own; nobody but the two looks inside. */
static inline struct belay_request *lib_handle(struct bl_ua_request *r)
{
        return (struct belay_request *)(void *)r;
}
static inline struct bl_ua_request *lib_request(struct belay_request *r)
{
        return (struct bl_ua_request *)(void *)r;
}

/* outbound.c */
int lib_outbound_begin(struct belay_account *a);  /* asks DHCP, then registers */
void lib_outbound_again(struct belay_account *a); /* asks for the next round, if DHCP is to be asked at all */
void lib_outbound_cancel(struct belay_account *a);
/* event.c */
void lib_on_event(void *account, const struct bl_ua_event *e);
/* Tells the application; all but `kind` and `call` may be missing. */
void lib_tell(struct belay_account *a, enum belay_event_kind kind, const struct bl_ua_event *e,
              const struct belay_call *call, struct belay_request *r);
/* call.c */
struct belay_call *lib_call_new(struct belay_account *a, struct bl_dialog *d, bool incoming); /* NULL without memory */
void lib_call_free(struct belay_call *c);
void lib_call_end(struct belay_call *c); /* tells ENDED, lets go of the dialog, frees */
