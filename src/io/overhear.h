/*
 * What bl_capture saw of TLS, in clear: decrypted with the keys that the programs which talk wrote to a key log (GnuTLS
 * does so by itself where SSLKEYLOGFILE says; the lines are those of NSS). The programs run as ever, and what is shown
 * is what was on the wire. TLS 1.3 only; connections that began before the capture stay dark. One thread.
 */
#pragma once
#include "io/capture.h"

struct bl_overhear;
/*
 * `seen` is called as bl_capture calls its own: `opened` and `reset` as they came, octets as the content of records.
 * The file need not be there yet. NULL without memory.
 */
struct bl_overhear *bl_overhear_new(const char *keylog_file, void (*seen)(void *arg, const struct bl_captured *),
                                    void *arg);
void bl_overhear_free(struct bl_overhear *o);                             /* accepts NULL */
void bl_overhear_see(struct bl_overhear *o, const struct bl_captured *c); /* of TCP, in order */
/* Records that could not be decrypted although the keys were known: 0, or what was shown is not all. */
uint64_t bl_overhear_failed(const struct bl_overhear *o);
