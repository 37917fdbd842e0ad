/* belay parse: a message's parts as JSON, or why it is refused. */
#pragma once
#include <stdio.h>

#include "base/str.h"

int bl_parse_run(int argc, char **argv); /* returns enum bl_exit */

/*
 * One datagram, `in`, as an object over several lines; or, when `stream`, what a connection brought, an object a line.
 * BL_EXIT_DONE when everything was accepted, else BL_EXIT_NO; BL_EXIT_USAGE without memory.
 */
int bl_parse_print(struct bl_str in, bool stream, FILE *out);
