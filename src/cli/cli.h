/* What the verbs of `belay` share. A new verb: a file with bl_<verb>_run, its header, and a line in main.c's table. */
#pragma once

enum bl_exit { /* how every verb ends */
               BL_EXIT_DONE = 0,
               BL_EXIT_NO = 1,          /* it ran, and the answer is no */
               BL_EXIT_USAGE = 2,       /* it could not begin: the arguments are wrong, or a file that they name
                                          cannot be read or written. So 1 always is an answer */
               BL_EXIT_UNREACHABLE = 3, /* whom it should talk to does not answer */
};
