/* A name server's octets (the first chooses the type asked for): what is read of them is whole and bounded. */
#include "fuzz/fuzz.h"
#include "io/answer.h"

FUZZ(in)
{
        static const uint16_t types[] = {BL_RR_A, BL_RR_AAAA, BL_RR_SRV, BL_RR_NAPTR};
        static struct bl_answer a;
        uint16_t type = types[in.n ? in.p[0] & 3 : 0];
        int rc = bl_answer_parse(bl_str_from(in, in.n > 0), type, &a);
        MUST(a.n <= BL_ANSWER_RECORDS && a.text_used <= BL_ANSWER_TEXT && (rc == 0 || a.n == 0));
        for (unsigned i = 0; i < a.n; i++) {
                const struct bl_str *s[] = {&a.rr[i].name, &a.rr[i].flags, &a.rr[i].service};
                for (unsigned k = 0; k < 3; k++)
                        MUST(!s[k]->n || (s[k]->p >= a.text && s[k]->p + s[k]->n <= a.text + a.text_used));
                MUST(a.rr[i].type == type && a.rr[i].name.n <= 255 && a.rr[i].ttl <= 7 * 86400);
        }
}
