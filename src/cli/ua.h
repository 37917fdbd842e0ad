/* belay ua: the phone for scripts. */
#pragma once

int bl_ua_run(int argc, char **argv); /* argv[0]: "ua". Returns enum bl_exit */
