/* belay user, belay key: the files that a home and a cluster need. */
#pragma once

int bl_user_run(int argc, char **argv); /* argv[0]: "user". Returns enum bl_exit */
int bl_key_run(int argc, char **argv);
