/* belay cert: a private authority and node certificates for a lab. */
#pragma once
int bl_cert_run(int argc, char **argv); /* argv[0] is the verb; returns enum bl_exit */
