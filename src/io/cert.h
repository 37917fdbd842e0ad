/* A private authority and certificates signed by it, for a lab: files in one folder. */
#pragma once
#include "base/base.h"

struct bl_cert_ca;
enum { BL_CERT_NAMES = 16 /* in one certificate */ };

/*
 * The authority of that folder: DIR/ca.pem and DIR/ca.key, made when neither is there (the folder, too). 0; *ret_made
 * says whether it is new. < 0: one line in err.
 */
int bl_cert_open(const char *dir, unsigned days, int64_t wall, struct bl_sb *err, bool *ret_made,
                 struct bl_cert_ca **ret_ca) BL_MUSTCHECK;
void bl_cert_close(struct bl_cert_ca *ca); /* accepts NULL */
/*
 * DIR/NAME.pem and DIR/NAME.key (readable by the owner only), NAME being the first of `names`; replaces older ones. For
 * each name a SAN URI sip:NAME and a SAN DNS name; good for TLS servers, TLS clients and SIP domains (RFC 5924). 0, or
 * < 0 and one line in err.
 */
int bl_cert_issue(struct bl_cert_ca *ca, const struct bl_str *names, unsigned n, unsigned days, int64_t wall,
                  struct bl_sb *err);
