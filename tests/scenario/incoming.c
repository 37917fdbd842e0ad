/*
 * An incoming call: slides S28 to S30, protocol.md sections 4.3 and 5. The home pushes P from the location store; the
 * edge finds the flow by P and Record-Routes with <P;d=…>, the home with <sip:example.com;lr;d=…>.
 */
#include "scenario/world/phone.h"

static void a_call_rings_talks_and_ends(struct world *w)
{
        struct phone *joe = phone_up(w, "joe"), *bob = phone_up(w, "bob");
        struct leg *at_bob, *at_joe = phone_talk(joe, bob, &at_bob);

        struct bl_str invite = world_last(w, NULL, bob->node, "INVITE");
        struct bl_str rr = text_header(invite, "Record-Route");
        MUST(w, bl_str_starts(rr, BL_STR("<sip:bob+")));
        MUST(w, text_has(rr, "@edge.example.com;lr"));
        MUST(w, text_has(rr, ";d="));
        MUST(w, text_has(invite, "sip:example.com;lr;d="));
        MUST(w, text_has(invite, "<sip:joe+"));
        MUST_EQ(w, text_header(invite, "Route").n, 0); /* P was popped */

        /* requests inside the dialog, both ways, each delivered once */
        leg_must_reach(at_joe, BL_M_INFO);
        leg_must_reach(at_bob, BL_M_INFO);
        leg_must_reach(at_joe, BL_M_INVITE);
        leg_must_reach(at_bob, BL_M_UPDATE);
        leg_hang_up(at_bob);
        WAIT(w, !at_joe->dialog, 40);
        MUST_EQ(w, at_joe->got[BL_M_BYE], 1);
}

/* Requests outside any dialog go the same way. */
static void messages_and_options(struct world *w)
{
        struct phone *joe = phone_up(w, "joe"), *bob = phone_up(w, "bob");
        phone_ask(joe, BL_M_MESSAGE, bob->aor);
        phone_ask(bob, BL_M_MESSAGE, joe->aor);
        phone_ask(joe, BL_M_OPTIONS, bob->aor);
        world_settle(w, 40);
        for (unsigned i = 0; i < w->n_asks; i++)
                MUST_EQ(w, w->asks[i].status, 200);
}

/* CANCEL follows the INVITE to the bell (RFC 3261 section 9). */
static void a_call_is_cancelled(struct world *w)
{
        struct phone *joe = phone_up(w, "joe"), *bob = phone_up(w, "bob");
        bob->answer = 1;
        struct leg *l = phone_call(joe, bob->aor);
        WAIT(w, l->invite->provisional == 180, 20);
        phone_cancel(l->invite);
        WAIT(w, l->invite->status, 40);
        MUST_EQ(w, l->invite->status, 487);
        WAIT(w, phone_leg(bob, 0)->cancelled, 5);
        MUST_EQ(w, bob->invited, 1);
}

static void a_call_is_declined(struct world *w)
{
        struct phone *joe = phone_up(w, "joe"), *bob = phone_up(w, "bob");
        bob->answer = 603;
        struct leg *l = phone_call(joe, bob->aor);
        WAIT(w, l->invite->status, 40);
        MUST_EQ(w, l->invite->status, 603);
}

/* Section 6: unknown user 404, known but away 480. */
static void nobody_there(struct world *w)
{
        struct phone *joe = phone_up(w, "joe");
        struct leg *unknown = phone_call(joe, "sip:nobody@example.com");
        WAIT(w, unknown->invite->status, 40);
        MUST_EQ(w, unknown->invite->status, 404);
        struct leg *away = phone_call(joe, "sip:bob@example.com");
        WAIT(w, away->invite->status, 40);
        MUST_EQ(w, away->invite->status, 480);
}

/* Two flows of one instance are one target: bob rings once (RFC 5626 section 7). */
static void one_instance_rings_once(struct world *w)
{
        struct phone *joe = phone_up(w, "joe"), *bob = phone_up(w, "bob");
        struct leg *l = phone_talk(joe, bob, NULL);
        MUST_EQ(w, bob->invited, 1);
        MUST_EQ(w, world_seen(w, w->home[1]->node, NULL, "INVITE"), 1 + (w->conf.tp == BL_UDP ? 0 : 0));
        leg_hang_up(l);
}

/* A worker answers from inside the event, and the network loses, doubles and reorders: still each thing once. */
static void on_a_rough_network(struct world *w)
{
        struct phone *joe = phone_up(w, "joe"), *bob = phone_up(w, "bob");
        bob->answer_in_callback = true;
        struct leg *at_bob, *at_joe = phone_talk(joe, bob, &at_bob);
        leg_must_reach(at_joe, BL_M_INFO);
        leg_must_reach(at_bob, BL_M_INFO);
        leg_hang_up(at_joe);
}

int main(int argc, char **argv)
{
        const struct story stories[] = {
                {.tls_too = true,
                 .name = "a_call_rings_talks_and_ends",
                 .tell = a_call_rings_talks_and_ends,
                 .seeds = 6},
                {.tls_too = true, .name = "messages_and_options", .tell = messages_and_options},
                {.tls_too = true, .name = "a_call_is_cancelled", .tell = a_call_is_cancelled},
                {.tls_too = true, .name = "a_call_is_declined", .tell = a_call_is_declined},
                {.tls_too = true, .name = "nobody_there", .tell = nobody_there},
                {.tls_too = true, .name = "one_instance_rings_once", .tell = one_instance_rings_once},
                {.tls_too = true,
                 .name = "on_a_rough_network",
                 .tell = on_a_rough_network,
                 .conf = {.net = &sim_net_rough, .store_trouble = true},
                 .seeds = 8},
        };
        return world_main(argc, argv, stories, BL_ARRAY_LEN(stories));
}
