/* Lines of text from a file descriptor (a program's stdin, a child's stdout) as events of worker 0. */
#pragma once
#include "io/world.h"

enum { BL_LINE_MAX = 64 * 1024 }; /* longer ones are cut there */

struct bl_lines;
/*
 * Calls `line` for each line, without its newline; the octets live until return. line.p == NULL: the end (once; what
 * stands before it without a newline came as a line). The descriptor is not closed. NULL when it cannot be watched.
 */
struct bl_lines *bl_lines_open(struct bl_world *w, int fd, void (*line)(void *arg, struct bl_str line), void *arg);
void bl_lines_close(struct bl_lines *l); /* accepts NULL; memory goes in a later turn of the loop */
