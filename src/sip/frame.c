#include "sip/frame.h"

#include "sip/hid.h"
#include "sip/scan.h"

static bool is_crlf(struct bl_str in, size_t at)
{
        return in.n - at >= 2 && in.p[at] == '\r' && in.p[at + 1] == '\n';
}

/* Keep-alives between messages, RFC 5626 4.4.1. 0: none here. */
static int keepalive(const struct bl_frame_state *st, struct bl_str in, enum bl_frame_kind *ret_kind)
{
        if (in.p[0] != '\r')
                return 0;
        if (in.n == 1)
                return BL_EMORE;
        if (!is_crlf(in, 0))
                return BL_EMALFORMED;
        if (in.n >= 4 && is_crlf(in, 2)) {
                *ret_kind = BL_FRAME_PING;
                return 4;
        }
        if (st->wait_pair && (in.n == 2 || (in.n == 3 && in.p[2] == '\r')))
                return BL_EMORE;
        *ret_kind = BL_FRAME_PONG;
        return 2;
}

/*
 * Length of start line and headers with the empty line; BL_EMORE, BL_EMALFORMED (a line that does not end in CRLF),
 * BL_ELIMIT. What stands beyond `max` is not looked at, so that the answer does not depend on how the stream was cut.
 */
static int find_end(struct bl_frame_state *st, struct bl_str in, size_t max)
{
        size_t at = st->scanned, n = in.n < max ? in.n : max;

        for (;;) {
                const char *lf = at < n ? memchr(in.p + at, '\n', n - at) : NULL;
                size_t i;

                if (!lf) {
                        st->scanned = (uint32_t)n;
                        return in.n > max ? BL_ELIMIT : BL_EMORE;
                }
                i = (size_t)(lf - in.p);
                if (i == 0 || in.p[i - 1] != '\r')
                        return BL_EMALFORMED;
                if (i >= 3 && in.p[i - 2] == '\n')
                        return (int)(i + 1);
                at = i + 1;
        }
}

/* The end of the logical line at p: of its last octet before the CRLF that no white space follows. */
static const char *line_end(const char *p, const char *end)
{
        for (;;) {
                const char *lf = memchr(p, '\n', (size_t)(end - p));

                if (!lf)
                        return end;
                if (lf + 1 == end || !bl_is_wsp(lf[1]))
                        return lf - 1;
                p = lf + 1;
        }
}

static int parse_length(const char *p, const char *end, uint32_t *ret)
{
        struct bl_str value = bl_str_trim(bl_str_make(p, (size_t)(end - p)));

        return bl_str_u32(value, ret);
}

/* Content-Length of the headers in [p, end): BL_EMALFORMED when there is none, it is no number, or two disagree. */
static int content_length(const char *p, const char *end, uint32_t *ret_length)
{
        bool found = false;
        uint32_t length = 0;

        for (p = line_end(p, end) + 2; p < end - 2;) {
                const char *stop = line_end(p, end), *colon = bl_scan_run(p, stop, C_TOKEN), *name_end = colon;
                uint32_t n;

                while (colon < stop && bl_is_wsp(*colon))
                        colon++;
                if (colon < stop && *colon == ':' && name_end > p && name_end - p <= 14 &&
                    bl_hid_fold(p, (size_t)(name_end - p)) == BL_H_CONTENT_LENGTH) {
                        if (parse_length(colon + 1, stop, &n) < 0 || (found && n != length))
                                return BL_EMALFORMED;
                        found = true;
                        length = n;
                }
                p = stop + 2;
        }
        if (!found)
                return BL_EMALFORMED; /* RFC 3261 18.3, 20.14: it MUST be there over streams */
        *ret_length = length;
        return 0;
}

/* The lines that are whole within the limit. */
static struct bl_str whole_lines(struct bl_str in, size_t max)
{
        size_t n = in.n < max ? in.n : max;

        while (n && in.p[n - 1] != '\n')
                n--;
        return bl_str_make(in.p, n);
}

static int headers_done(struct bl_frame_state *st, struct bl_str in, size_t max, struct bl_str *ret_octets)
{
        uint32_t length;
        int n = find_end(st, in, max);

        if (n == BL_ELIMIT)
                *ret_octets = whole_lines(in, max); /* so that this refusal can be answered, as those below */
        if (n < 0)
                return n;
        *ret_octets = bl_str_make(in.p, (size_t)n);
        if (content_length(in.p, in.p + n, &length) < 0)
                return BL_EMALFORMED;
        if (length > max - (size_t)n)
                return BL_ELIMIT;
        st->need = (uint32_t)n + length;
        return 0;
}

int bl_frame_next(struct bl_frame_state *st, struct bl_str in, size_t max, enum bl_frame_kind *ret_kind,
                  struct bl_str *ret_octets)
{
        int rc;

        *ret_octets = bl_str_make(in.p, 0);
        if (in.n == 0)
                return BL_EMORE;
        if (max > BL_FRAME_MAX)
                max = BL_FRAME_MAX;
        if (st->need == 0) {
                rc = st->scanned == 0 ? keepalive(st, in, ret_kind) : 0;
                if (rc == 0)
                        rc = headers_done(st, in, max, ret_octets);
                if (rc != 0)
                        return rc;
        }
        if (in.n < st->need) {
                *ret_octets = bl_str_make(in.p, 0);
                return BL_EMORE;
        }
        *ret_kind = BL_FRAME_MESSAGE;
        *ret_octets = bl_str_make(in.p, st->need);
        rc = (int)st->need;
        st->scanned = st->need = 0;
        return rc;
}
