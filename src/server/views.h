/* What an operator sees of a node: its flows, what sticks to them, its state. */
#pragma once
#include "admin/admin.h"
#include "server/stack.h"

extern const struct bl_view bl_views[];
extern const unsigned bl_n_views;
extern const struct bl_action bl_actions[];
extern const unsigned bl_n_actions;

struct bl_admin_part bl_views_part(struct bl_stack *s);
