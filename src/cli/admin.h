#pragma once

int bl_admin_run(int argc, char **argv); /* argv[0]: status, flows, bindings, metrics; returns enum bl_exit */
