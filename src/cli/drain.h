#pragma once

int bl_drain_run(int argc, char **argv); /* returns enum bl_exit */
