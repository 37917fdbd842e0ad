#include "base/err.h"

#include <string.h>

static const char *own_text(int rc)
{
        switch ((enum bl_err)rc) {
        case BL_EMORE:
                return "input incomplete";
        case BL_EMALFORMED:
                return "does not parse";
        case BL_EPROTO:
                return "breaks a rule of the protocol";
        case BL_EINVAL:
                return "invalid argument";
        case BL_EFULL:
                return "queue or table full";
        case BL_EGONE:
                return "no longer exists";
        case BL_EPENDING:
                return "result pending";
        case BL_ELIMIT:
                return "over a limit";
        case BL_ENOMEM:
                return "out of memory";
        case BL_ENOENT:
                return "not found";
        case BL_EAUTH:
                return "does not verify";
        case BL_ETIMEOUT:
                return "timed out";
        case BL_EREFUSED:
                return "refused";
        }
        return NULL;
}

const char *bl_err_text(int rc)
{
        const char *text = NULL;
        if (rc >= 0)
                return "success";
        if (rc <= BL_EMORE)
                text = own_text(rc);
        else
                text = strerrordesc_np(-rc); /* untranslated and static, so any thread */
        return text ? text : "unknown error";
}
