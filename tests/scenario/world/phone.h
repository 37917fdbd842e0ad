/*
 * A phone: one bl_ua on a node of its own, and a person who answers. It records what its application is told. Every
 * request it sends carries a serial number, so that the world knows how often each was delivered (section 7.1: once).
 */
#pragma once
#include "scenario/world/world.h"
#include "ua/ua.h"

enum { PHONE_LEGS = 32 };

struct leg { /* one call as one phone sees it */
        struct phone *phone;
        struct bl_dialog *dialog; /* NULL once gone */
        char call_id[128];
        bool incoming, up, cancelled, acked;
        unsigned got[BL_M__COUNT];     /* requests that the application was told of */
        struct ask *invite;            /* ours */
        struct bl_ua_request *waiting; /* an incoming request that the person has not yet answered */
};

struct phone {
        struct world *w;
        struct sim_node *node;
        unsigned index; /* among the world's phones */
        char name[32], aor[64], password[40];
        struct bl_ua_stack_conf stack_conf;
        struct bl_ua_conf conf; /* may be changed between phone_new and phone_start */
        struct bl_ua_stack *stack;
        struct bl_ua *ua;
        struct bl_str text_aor;
        char instance[64];
        /* the person */
        unsigned answer;         /* status for incoming calls; 0 = 200; 1 = none at all */
        double ring_s;           /* rings before the answer; 0 = 0.1 s */
        bool answer_in_callback; /* at once, from inside the event */
        /* what the application was told */
        unsigned registered, unregistered, refused, redirected, last_status, flows_up, flows_down;
        unsigned invited, got[BL_M__COUNT];
        char last_redirect[512];
        struct leg legs[PHONE_LEGS];
        unsigned n_legs;
};

/* sip:NAME@example.com with its right password. Not yet started. */
struct phone *phone_new(struct world *w, const char *name);
struct phone *phone_new_at(struct world *w, const char *name, const char *domain);
void phone_start(struct phone *p);                         /* boots its node, begins to register */
struct phone *phone_up(struct world *w, const char *name); /* both, and waits until every flow is registered */
unsigned phone_flows(const struct phone *p);               /* registered now */
/* The edge (1 …) that carries this phone's i-th flow (0 first, by age); 0 when there is none. */
unsigned phone_edge(struct phone *p, unsigned i);
bool phone_has_edge(struct phone *p, unsigned edge);

struct leg *phone_call(struct phone *p, const char *to); /* sends INVITE; ->invite tells what becomes of it */
struct leg *phone_leg(struct phone *p, unsigned i);      /* i-th call of this phone; fails when not there */
struct leg *phone_talk(struct phone *a, struct phone *b, struct leg **ret_b); /* calls, and waits until both are up */
struct ask *leg_ask(struct leg *l, enum bl_method m);                         /* a request in the dialog */
struct ask *leg_ask_with(struct leg *l, enum bl_method m, const struct bl_ua_body *body);
struct ask *phone_ask(struct phone *p, enum bl_method m, const char *to); /* one outside */
struct ask *phone_ask_with(struct phone *p, enum bl_method m, const char *to, const struct bl_ua_body *body);
void leg_hang_up(struct leg *l);                      /* BYE and waits: answered 200, delivered once */
void leg_must_reach(struct leg *l, enum bl_method m); /* asks and waits: answered 200, delivered once */
void phone_cancel(struct ask *a);
void leg_answer(struct leg *l, unsigned status); /* by hand, when phone.answer is 1 */
/* Every request of everybody so far: an answer, and delivered at most (2xx: exactly) once. Waits for the answers. */
void world_settle(struct world *w, double seconds);
/* Waits until every call and request is over and gone, and makes room for as many again. */
void world_forget(struct world *w);
