/* One integer: >= 0 success, -errno from the system, ours from -1000 down. A SIP status is never an error code. */
#pragma once

enum bl_err {
        BL_EMORE = -1000,      /* the input ends before the thing does; give more octets */
        BL_EMALFORMED = -1001, /* does not parse and never will */
        BL_EPROTO = -1002,     /* parses, but breaks a rule of the protocol */
        BL_EINVAL = -1003,     /* the caller's arguments are wrong */
        BL_EFULL = -1004,      /* a queue or table is at its limit; try elsewhere or later */
        BL_EGONE = -1005,      /* the thing named by this handle no longer exists */
        BL_EPENDING = -1006,   /* not an error: one callback will bring the result */
        BL_ELIMIT = -1007,     /* over a configured or fixed limit (size, depth, count) */
        BL_ENOMEM = -1008,     /* no memory, or the budget is spent */
        BL_ENOENT = -1009,     /* no such entry */
        BL_EAUTH = -1010,      /* a MAC, digest or token does not verify */
        BL_ETIMEOUT = -1011,   /* the deadline passed */
        BL_EREFUSED = -1012,   /* the far end or a policy said no */
};

/* A short English name for any error of ours or -errno ("does not parse", "Connection refused"). Static storage. Any
 * thread. */
const char *bl_err_text(int rc);
