/* Header name to id for the parser's inner loop. Private to sip/. */
#pragma once
#include "sip/names.h"

/* `p` holds n octets (1..255), none of them CR. Any case, compact forms too. */
enum bl_hid bl_hid_fold(const char *p, size_t n);
