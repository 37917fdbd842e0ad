/* belay demo: the main job before a newcomer's eyes. */
#pragma once

int bl_demo_run(int argc, char **argv); /* argv[0]: "demo". Returns enum bl_exit */
