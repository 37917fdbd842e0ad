/*
 * bl_msg_parse: start line, one pass that indexes the headers, the body's length, then the fields that every element
 * needs.
 *
 * The first error is the one reported, but the pass goes on behind it where it can: a refusal needs Via, From, To,
 * Call-ID and CSeq of the broken request. Only a bare CR or LF ends it, since from there on nobody knows what a line
 * is.
 */
#include "sip/hid.h"
#include "sip/msg.h"
#include "sip/usual.h"

enum { HDR_FIRST_CAP = 40 /* headers that fit without a second block */ };

struct parse {
        struct bl_str in;
        const char *start, *end; /* of the message in it */
        struct bl_arena *arena;
        struct bl_msg *m;
        struct bl_hdr *h;
        struct bl_runs runs;
        unsigned cap;
        int rc; /* 0 until the first error */
        struct bl_parse_error err;
};

/* Each names the field that it refuses, in the words of the reason phrase. */
__attribute__((cold, noinline)) static void fail(struct parse *ps, int rc, unsigned status, const char *at,
                                                 const char *text)
{
        if (ps->rc < 0)
                return;
        ps->rc = rc;
        ps->err =
                (struct bl_parse_error){.status = (uint16_t)status, .offset = (uint32_t)(at - ps->in.p), .text = text};
}

__attribute__((cold, noinline)) static void malformed(struct parse *ps, const char *at, const char *text)
{
        fail(ps, BL_EMALFORMED, 400, at, text);
}

enum { MARKED_AT_ONCE = 512 /* octets; a body is not marked but for what comes along */ };

/* Where lines end, mark by mark. A value of its own, so that it lives in registers. */
struct lines {
        const char *base, *end; /* of the message */
        struct bl_runs_word *w;
        size_t marked;  /* octets, so far */
        size_t block;   /* of 64 octets, where we are */
        uint64_t marks; /* of it, those not yet come to */
};

__attribute__((noinline)) static size_t mark_more(const char *base, size_t marked, const char *end,
                                                  struct bl_runs_word *w)
{
        size_t n = (size_t)(end - base) - marked;

        n = n < MARKED_AT_ONCE ? n : MARKED_AT_ONCE;
        bl_runs_mark(base + marked, n, w + marked / 64);
        return marked + n;
}

/* The next one, or NULL. */
static inline const char *next_mark(struct lines *ln)
{
        const char *at;

        while (!ln->marks) {
                ln->block += 64;
                if (ln->block >= ln->marked) {
                        if (ln->base + ln->marked == ln->end)
                                return NULL;
                        ln->marked = mark_more(ln->base, ln->marked, ln->end, ln->w);
                }
                ln->marks = ln->w[ln->block / 64].line;
        }
        at = ln->base + ln->block + __builtin_ctzll(ln->marks);
        ln->marks &= ln->marks - 1;
        return at;
}

/* The first CR or LF that is still to come, or the end; and whether a line ends there as it should. */
static inline const char *find_crlf(struct lines *ln, bool *ret_crlf)
{
        for (;;) {
                const char *p = next_mark(ln);

                if (!p)
                        return *ret_crlf = false, ln->end;
                if (*p == '\n') {
                        *ret_crlf = p > ln->base && p[-1] == '\r';
                        return p - *ret_crlf;
                }
                if (ln->end - p < 2 || p[1] != '\n')
                        return *ret_crlf = false, p;
        }
}

__attribute__((cold, noinline)) static const char *no_line_end(struct parse *ps, const char *p)
{
        if (ps->end - p < 2 && (p == ps->end || *p == '\r'))
                malformed(ps, p, "No empty line after the headers");
        else
                malformed(ps, p, "Bare CR or LF in a header");
        return NULL;
}

/* The octet after the logical line at p (its folds included), *ret_end at its CRLF; NULL and the error when there is
 * none. The empty line has no folds. */
static inline const char *line_next(struct parse *ps, struct lines *ln, const char *p, const char **ret_end)
{
        for (;;) {
                bool crlf;
                const char *end = find_crlf(ln, &crlf);

                if (!crlf)
                        return no_line_end(ps, end);
                if (end == p || end + 2 == ln->end || (unsigned char)end[2] > ' ' || !bl_is_wsp(end[2])) {
                        *ret_end = end;
                        return end + 2;
                }
        }
}

/* 1*DIGIT: as bl_str_u32, quickly for what is short. */
static int parse_u32(struct bl_str s, uint32_t *ret)
{
        uint32_t v = 0;

        if (s.n == 0 || s.n > 9)
                return bl_str_u32(s, ret);
        for (size_t i = 0; i < s.n; i++) {
                unsigned digit = (unsigned)s.p[i] - '0';

                if (digit > 9)
                        return BL_EMALFORMED;
                v = v * 10 + digit;
        }
        *ret = v;
        return 0;
}

/* ---- start line ---- */

/* SIP-Version at p up to `end`: 2 for ours, 1 for another one, 0 for none. */
static int version_kind(const char *p, const char *end)
{
        const char *q;

        if (end - p == 7 && memcmp(p, "SIP/2.0", 7) == 0)
                return 2;
        if (end - p < 7 || !bl_str_ieq(bl_str_make(p, 4), BL_STR("SIP/")))
                return 0;
        p += 4;
        q = bl_scan_run(p, end, C_DIGIT);
        if (q == p || q == end || *q != '.')
                return 0;
        p = bl_scan_run(q + 1, end, C_DIGIT);
        if (p == q + 1 || p != end)
                return 0;
        return p - q == 2 && q[1] == '0' && q[-1] == '2' && bl_is(q[-2], C_DIGIT) == 0 ? 2 : 1;
}

static bool mentions_sip(const char *p, const char *end)
{
        for (; end - p >= 4; p++)
                if (bl_str_ieq(bl_str_make(p, 4), BL_STR("SIP/")))
                        return true;
        return false;
}

static void check_ruri(struct parse *ps)
{
        struct bl_msg *m = ps->m;

        if (m->uri.all.n == m->ruri.n)
                return; /* in its usual form */
        if (*m->ruri.p == '<')
                malformed(ps, m->ruri.p, "Request-URI in angle brackets"); /* RFC 3261 7.1 */
        else if (bl_uri_parse(m->ruri, &m->uri) < 0)
                malformed(ps, m->ruri.p, "Malformed Request-URI");
        else if (m->uri.headers.n)
                malformed(ps, m->uri.headers.p, "Headers in the Request-URI"); /* RFC 3261 19.1.2 */
        else if (m->uri.scheme == BL_SCHEME_OTHER)
                fail(ps, BL_EPROTO, 416, m->ruri.p, "Unsupported URI Scheme"); /* RFC 3261 16.3 item 2 */
}

/* Method SP Request-URI SP SIP-Version, RFC 3261 7.1: single spaces and none elsewhere. Returns where it went wrong, or
 * NULL. */
static const char *split_request_line(struct parse *ps, const char *p, const char *end, const char **ret_version)
{
        struct bl_msg *m = ps->m;
        const char *q = bl_scan_few(p, end, C_TOKEN);

        m->is_request = true;
        m->method_name = bl_str_make(p, (size_t)(q - p));
        m->method = bl_method_from(m->method_name);
        if (q == p || q == end || *q != ' ')
                return q;
        p = q + 1;
        q = bl_scan_to(p, end, ' ', ' ');
        if (q == end || q == p)
                return p;
        m->ruri = bl_str_make(p, (size_t)(q - p));
        if (bl_usual_uri(ps->runs, p, q, &m->uri) != q) /* all its runs end at the space or before */
                m->uri.all.n = 0;
        *ret_version = q + 1;
        return version_kind(q + 1, end) == 0 ? q + 1 : NULL;
}

static void parse_request_line(struct parse *ps, const char *p, const char *end)
{
        const char *version = end, *wrong = split_request_line(ps, p, end, &version);

        if (wrong && !mentions_sip(p, end)) {
                ps->m->is_request = false;
                fail(ps, BL_EMALFORMED, 0, p, "Not SIP");
        } else if (wrong) {
                malformed(ps, wrong, "Malformed request line");
        } else if (version_kind(version, end) != 2) {
                fail(ps, BL_EPROTO, 505, version, "Version Not Supported");
        } else {
                check_ruri(ps);
        }
}

/* SIP-Version SP Status-Code SP Reason-Phrase, RFC 3261 7.2; a missing last SP is forgiven. */
static void parse_status_line(struct parse *ps, const char *p, const char *end)
{
        struct bl_msg *m = ps->m;
        const char *q = memchr(p, ' ', (size_t)(end - p));
        int version = version_kind(p, q ? q : end);

        m->is_request = false;
        m->uri.all = bl_str_make("", 0);
        if (version != 2 || !q)
                return fail(ps, version == 1 ? BL_EPROTO : BL_EMALFORMED, 0, p, "Malformed status line");
        p = q + 1;
        q = bl_scan_run(p, end, C_DIGIT);
        if (q - p != 3 || (q < end && *q != ' '))
                return fail(ps, BL_EMALFORMED, 0, p, "Malformed status code");
        m->status = (uint16_t)((p[0] - '0') * 100 + (p[1] - '0') * 10 + (p[2] - '0'));
        if (m->status < 100 || m->status > 699)
                return fail(ps, BL_EPROTO, 0, p, "Status code out of range");
        p = q < end ? q + 1 : q;
        m->reason = bl_str_make(p, (size_t)(end - p));
}

/* Returns where the headers start, or NULL. */
__attribute__((noinline)) static const char *parse_start_line(struct parse *ps, struct lines *ln)
{
        bool crlf;
        const char *p = ps->start, *line_end = find_crlf(ln, &crlf);

        if (line_end - p >= 4 && bl_str_ieq(bl_str_make(p, 4), BL_STR("SIP/")))
                parse_status_line(ps, p, line_end);
        else
                parse_request_line(ps, p, line_end);
        return crlf ? line_end + 2 : no_line_end(ps, line_end);
}

/* ---- headers ---- */

/* Headers that stand once (RFC 3261 7.3.1 and their own definitions). */
static const uint64_t single_headers =
        1ull << BL_H_FROM | 1ull << BL_H_TO | 1ull << BL_H_CALL_ID | 1ull << BL_H_CSEQ | 1ull << BL_H_MAX_FORWARDS |
        1ull << BL_H_CONTENT_LENGTH | 1ull << BL_H_CONTENT_TYPE | 1ull << BL_H_EXPIRES | 1ull << BL_H_MIN_EXPIRES |
        1ull << BL_H_RETRY_AFTER | 1ull << BL_H_FLOW_TIMER | 1ull << BL_H_MAX_BREADTH | 1ull << BL_H_DATE |
        1ull << BL_H_SUBSCRIPTION_STATE | 1ull << BL_H_EVENT | 1ull << BL_H_TIMESTAMP | 1ull << BL_H_REPLACES |
        1ull << BL_H_REFER_TO | 1ull << BL_H_RACK | 1ull << BL_H_RSEQ | 1ull << BL_H_MIN_SE |
        1ull << BL_H_SESSION_EXPIRES;

__attribute__((cold, noinline)) static bool grow(struct parse *ps)
{
        struct bl_hdr *more;

        if (ps->m->n == BL_HDR_MAX) {
                fail(ps, BL_ELIMIT, 513, ps->start + ps->h[ps->m->n - 1].name, "Too many headers");
                return false;
        }
        more = bl_arena_alloc(ps->arena, BL_HDR_MAX * sizeof *more);
        if (!more) {
                fail(ps, BL_ENOMEM, 503, ps->start, "Out of memory");
                return false;
        }
        memcpy(more, ps->h, ps->m->n * sizeof *more);
        ps->h = more;
        ps->m->h = more;
        ps->cap = BL_HDR_MAX;
        return true;
}

/*
 * The name of the line at p: its id, and where it ends (its colon at *ret_colon). A name that we know is one; of any
 * other each octet has to be looked at. NULL when it is none.
 */
static inline const char *scan_name(struct bl_runs r, const char *p, const char *line_end, const char **ret_colon,
                                    enum bl_hid *ret_id)
{
        const char *colon = bl_run_end(r, p), *name_end;

        if (*colon != ':')
                colon = bl_scan_to(colon, line_end, ':', ':');
        if (colon == line_end || colon == p)
                return NULL;
        *ret_colon = name_end = colon;
        *ret_id = bl_hid_fold(p, (size_t)(colon - p));
        if (*ret_id != BL_H_OTHER)
                return colon;
        while (name_end > p && bl_is_wsp(name_end[-1]))
                name_end--; /* HCOLON, RFC 3261 25.1 */
        if (name_end == p || bl_scan_run(p, name_end, C_TOKEN) != name_end)
                return NULL;
        if (name_end != colon)
                *ret_id = bl_hid_fold(p, (size_t)(name_end - p));
        return name_end;
}

/* The value behind the colon without white space at its ends; usually there is one space before it and none behind. */
static inline struct bl_str trim_value(const char *v, const char *line_end)
{
        if (line_end - v > 1 && *v == ' ')
                v++;
        v = bl_scan_lws(v, line_end);
        while (line_end > v && (unsigned char)line_end[-1] <= ' ' &&
               (bl_is_wsp(line_end[-1]) || line_end[-1] == '\r' || line_end[-1] == '\n'))
                line_end--;
        return bl_str_make(v, (size_t)(line_end - v));
}

/* Appends the n-th header to the chain of its id. */
static inline void chain_header(struct parse *ps, enum bl_hid id, unsigned n)
{
        struct bl_msg *m = ps->m;

        if (m->first[id] == BL_HDR_NONE) {
                m->first[id] = (uint16_t)n;
        } else {
                ps->h[m->last[id]].next = (uint16_t)n;
                if (single_headers >> id & 1)
                        fail(ps, BL_EPROTO, 400, ps->start + ps->h[n].name,
                             "Header that may stand only once stands twice");
        }
        m->last[id] = (uint16_t)n;
}

/* The header of the line at p, in the next free place of the index; NULL and the error when it has no name. */
static inline struct bl_hdr *index_line(struct parse *ps, struct bl_hdr *h, const char *p, const char *line_end,
                                        const char *next)
{
        const char *colon, *name_end;
        struct bl_str value;
        enum bl_hid id;

        name_end = scan_name(ps->runs, p, line_end, &colon, &id);
        if (!name_end || name_end - p > 255) {
                malformed(ps, p, name_end ? "Header name too long" : "Header line without a name and colon");
                return NULL;
        }
        value = trim_value(colon + 1, line_end);
        h->id = (uint8_t)id;
        h->name_len = (uint8_t)(name_end - p);
        h->next = BL_HDR_NONE;
        h->name = (uint32_t)(p - ps->runs.base);
        h->value = (uint32_t)(value.p - ps->runs.base);
        h->value_len = (uint16_t)value.n;
        h->line_len = (uint16_t)(next - p);
        return h;
}

/* Returns where the headers ended: at the empty line, or at the line that could not be indexed. */
__attribute__((noinline)) static const char *index_lines(struct parse *ps, struct lines ln, const char *p)
{
        unsigned n = 0;

        for (;;) {
                const char *line_end = p, *next = line_next(ps, &ln, p, &line_end);

                if (!next || line_end == p || (n == ps->cap && !grow(ps)))
                        return p;
                if (index_line(ps, &ps->h[n], p, line_end, next)) {
                        chain_header(ps, (enum bl_hid)ps->h[n].id, n);
                        ps->m->n = (uint16_t)++n;
                }
                p = next;
        }
}

static void index_headers(struct parse *ps, const struct lines *ln, const char *p)
{
        struct bl_msg *m = ps->m;

        m->headers_off = (uint32_t)(p - ps->start);
        p = index_lines(ps, *ln, p);
        m->body_off = (uint32_t)(p - ps->start) + (ps->end - p >= 2 && memcmp(p, "\r\n", 2) == 0 ? 2 : 0);
}

/* ---- fields ---- */

/* RFC 3261 18.3, 20.14 */
static void parse_body(struct parse *ps, bool datagram)
{
        struct bl_msg *m = ps->m;
        const struct bl_hdr *h = bl_msg_first(m, BL_H_CONTENT_LENGTH);
        size_t have = (size_t)(ps->end - ps->start) - m->body_off;
        uint32_t length = (uint32_t)have;

        if (h) {
                struct bl_str value = bl_hdr_value(m, h);

                if (parse_u32(value, &length) < 0)
                        malformed(ps, value.p, "Malformed Content-Length");
                else if (length > have)
                        fail(ps, BL_EPROTO, 400, value.p, "Content-Length exceeds the message");
                else if (length < have && !datagram)
                        fail(ps, BL_EPROTO, 400, value.p, "Content-Length is less than the message");
                if (length > have)
                        length = (uint32_t)have;
        }
        m->body = bl_str_make(ps->start + m->body_off, length);
        m->octets.n = m->body_off + length;
}

/* 1*DIGIT LWS Method, RFC 3261 8.1.1.5 */
__attribute__((noinline)) static void parse_cseq(struct parse *ps)
{
        struct bl_msg *m = ps->m;
        struct bl_str v = bl_msg_value(m, BL_H_CSEQ);
        const char *end = v.p + v.n, *q = bl_scan_few(v.p, end, C_DIGIT), *name = bl_scan_lws(q, end);
        uint32_t number;
        int rc = parse_u32(bl_str_make(v.p, (size_t)(q - v.p)), &number);

        if (q > v.p && (rc == BL_ELIMIT || (rc == 0 && number > INT32_MAX)))
                return fail(ps, BL_EPROTO, 400, v.p, "CSeq number out of range");
        if (rc < 0 || name == q || name == end || bl_usual_run(ps->runs, name, C_TOKEN) != end)
                return malformed(ps, v.p, "Malformed CSeq");
        m->cseq.number = number;
        m->cseq.method_name = bl_str_make(name, (size_t)(end - name));
        if (m->is_request && bl_str_eq(m->method_name, m->cseq.method_name)) {
                m->cseq.method = m->method;
                return;
        }
        m->cseq.method = bl_method_from(m->cseq.method_name);
        if (m->is_request)
                fail(ps, BL_EPROTO, 400, name, "CSeq method does not match");
        else
                m->method = m->cseq.method;
}

static void parse_party(struct parse *ps, enum bl_hid id, const char *text, struct bl_str *ret_tag)
{
        struct bl_str v = bl_msg_value(ps->m, id);
        struct bl_nameaddr na;

        if (v.n && bl_usual_nameaddr(ps->runs, v.p, v.p + v.n, &na, ret_tag) == v.p + v.n)
                return;
        *ret_tag = bl_str_make("", 0);
        if (v.n == 0 || bl_nameaddr_scan(v.p, v.p + v.n, &na, ret_tag) != v.p + v.n || na.star)
                malformed(ps, v.p, text);
}

static void parse_call_id(struct parse *ps)
{
        struct bl_str v = bl_msg_value(ps->m, BL_H_CALL_ID);

        ps->m->call_id = v;
        /* more than `word`, for peers that put "=" there */
        if (v.n == 0 || bl_usual_run(ps->runs, v.p, C_VISIBLE) != v.p + v.n)
                malformed(ps, v.p, "Malformed Call-ID");
}

static void parse_max_forwards(struct parse *ps)
{
        struct bl_str v = bl_msg_value(ps->m, BL_H_MAX_FORWARDS);
        uint32_t n;
        int rc;

        ps->m->max_forwards = -1;
        if (!bl_msg_has(ps->m, BL_H_MAX_FORWARDS))
                return;
        rc = parse_u32(v, &n);
        if (rc == BL_EMALFORMED)
                return malformed(ps, v.p, "Malformed Max-Forwards");
        if (rc < 0 || n > 255) /* RFC 3261 20.22 */
                return fail(ps, BL_EPROTO, 400, v.p, "Max-Forwards out of range");
        ps->m->max_forwards = (int32_t)n;
}

/*
 * Walks the elements of all headers of that id, each parsed where it stands: a comma or the end has to follow.
 *   const struct bl_hdr *h = bl_msg_first(m, id); const char *p = NULL;
 *   while (next_element(m, &h, &p, &end)) { … p = scan(p, end); if (!done_element(&p, end)) refuse; }
 */
static bool next_element(const struct bl_msg *m, const struct bl_hdr **h, const char **p, const char **end)
{
        if (*p && *p == *end) {
                *h = bl_msg_next(m, *h);
                *p = NULL;
        }
        if (!*h)
                return false;
        if (!*p) {
                struct bl_str v = bl_hdr_value(m, *h);

                *p = v.p;
                *end = v.p + v.n;
        }
        return true;
}

/* True when an element may end at *p; steps over the comma. What follows one must be an element, so an empty one fails
 * to parse. */
static bool done_element(const char **p, const char *end)
{
        if (*p == end)
                return true;
        if (**p != ',')
                return false;
        *p = bl_scan_lws(*p + 1, end);
        return *p != end; /* a comma with nothing behind */
}

/* All Via values: each is a hop that the answer must find back over. */
__attribute__((noinline)) static void parse_vias(struct parse *ps)
{
        struct bl_msg *m = ps->m;
        const struct bl_hdr *h = bl_msg_first(m, BL_H_VIA);
        const char *p = NULL, *end = NULL, *at;
        bool top = true;

        while (next_element(m, &h, &p, &end)) {
                struct bl_via lower, *via = top ? &m->via : &lower;

                at = p;
                p = bl_usual_via(ps->runs, at, end, via);
                if (!p)
                        p = bl_via_scan(at, end, via);
                if (!p || !done_element(&p, end)) {
                        if (top) /* enough to answer 400 to: RFC 4475 3.1.2.1 */
                                (void)bl_via_scan_start(at, end, &m->via);
                        return malformed(ps, at, "Malformed Via");
                }
                top = false;
        }
}

static void check_addresses(struct parse *ps, enum bl_hid id, bool need_angle, const char *text)
{
        struct bl_msg *m = ps->m;
        const struct bl_hdr *h = bl_msg_first(m, id);
        const char *p = NULL, *end = NULL, *at;
        bool star = false;
        unsigned n = 0;

        while (next_element(m, &h, &p, &end)) {
                struct bl_nameaddr na;

                at = p;
                p = bl_usual_nameaddr(ps->runs, at, end, &na, NULL);
                if (!p)
                        p = bl_nameaddr_scan(at, end, &na, NULL);
                if (!p || !done_element(&p, end) || (need_angle && !na.angle))
                        return malformed(ps, at, text);
                star |= na.star;
                /* RFC 3261 20.10: "*" stands alone, in a Contact */
                if (++n > 1 && star)
                        return malformed(ps, at, text);
        }
}

static const struct {
        uint8_t id;
        const char *missing;
} mandatory[] = {
        {BL_H_VIA, "No Via"},         {BL_H_FROM, "No From"}, {BL_H_TO, "No To"},
        {BL_H_CALL_ID, "No Call-ID"}, {BL_H_CSEQ, "No CSeq"},
};

/* RFC 3261 8.1.1. Max-Forwards is missed by nobody (16.3 item 3), From's tag not by RFC 2543 peers (8.2.6.2). */
static void parse_fields(struct parse *ps)
{
        struct bl_msg *m = ps->m;

        m->max_forwards = -1;
        m->call_id = m->from_tag = m->to_tag = bl_str_make("", 0);
        for (size_t i = 0; i < BL_ARRAY_LEN(mandatory); i++)
                if (!bl_msg_has(m, mandatory[i].id))
                        fail(ps, BL_EPROTO, 400, ps->start, mandatory[i].missing);
        if (bl_msg_has(m, BL_H_VIA))
                parse_vias(ps);
        if (bl_msg_has(m, BL_H_CSEQ))
                parse_cseq(ps);
        if (bl_msg_has(m, BL_H_CALL_ID))
                parse_call_id(ps);
        if (bl_msg_has(m, BL_H_FROM))
                parse_party(ps, BL_H_FROM, "Malformed From", &m->from_tag);
        if (bl_msg_has(m, BL_H_TO))
                parse_party(ps, BL_H_TO, "Malformed To", &m->to_tag);
        parse_max_forwards(ps);
        if (bl_msg_has(m, BL_H_ROUTE))
                check_addresses(ps, BL_H_ROUTE, true, "Malformed Route");
        if (bl_msg_has(m, BL_H_RECORD_ROUTE))
                check_addresses(ps, BL_H_RECORD_ROUTE, true, "Malformed Record-Route");
        if (bl_msg_has(m, BL_H_CONTACT))
                check_addresses(ps, BL_H_CONTACT, false, "Malformed Contact");
        if (bl_msg_has(m, BL_H_PATH))
                check_addresses(ps, BL_H_PATH, true, "Malformed Path");
        if (bl_msg_has(m, BL_H_SERVICE_ROUTE))
                check_addresses(ps, BL_H_SERVICE_ROUTE, true, "Malformed Service-Route");
}

/* ---- the whole ---- */

/* The message with room for its index and its marks, which are made as the lines are found. */
static struct bl_runs_word *begin(struct parse *ps)
{
        size_t index = sizeof(struct bl_msg) + HDR_FIRST_CAP * sizeof *ps->h, n = (size_t)(ps->end - ps->start);
        struct bl_msg *m = bl_arena_alloc(ps->arena, index + (n + 63) / 64 * sizeof(struct bl_runs_word));
        struct bl_runs_word *words;

        if (!m) {
                fail(ps, BL_ENOMEM, 503, ps->start, "Out of memory");
                return NULL;
        }
        words = (struct bl_runs_word *)(void *)((char *)m + index);
        memset(m, 0, offsetof(struct bl_msg, first));
        memset(m->first, 0xff, sizeof m->first);
        ps->m = m;
        m->h = ps->h = (struct bl_hdr *)(void *)(m + 1);
        ps->cap = HDR_FIRST_CAP;
        m->octets = bl_str_make(ps->start, n);
        m->_runs = words;
        ps->runs = (struct bl_runs){ps->start, words};
        return words;
}

static int finish(struct parse *ps, struct bl_parse_error *ret_error)
{
        struct bl_msg *m = ps->m;

        if (ps->rc == 0)
                return 0;
        /* A response is never answered, nor is an ACK (RFC 3261 17.1.1.3). The answer goes where the top Via says,
         * which it begins with (18.2.2): without a sent-by there is none. */
        if (!m || !m->is_request || m->method == BL_M_ACK || !m->via.host.n)
                ps->err.status = 0;
        if (ps->err.status)
                ps->err.partial = m;
        if (ret_error)
                *ret_error = ps->err;
        return ps->rc;
}

int bl_msg_parse(struct bl_str in, bool datagram, struct bl_arena *arena, struct bl_msg **ret_msg,
                 struct bl_parse_error *ret_error)
{
        struct parse ps = {.in = in.n ? in : bl_str_make("", 0), .arena = arena};
        struct bl_runs_word *words;
        const char *headers;

        ps.start = ps.in.p;
        ps.end = ps.in.p + ps.in.n;
        while (ps.end - ps.start >= 2 && ps.start[0] == '\r' && ps.start[1] == '\n')
                ps.start += 2; /* RFC 3261 7.5 */
        if (ps.start == ps.end) {
                fail(&ps, BL_EMALFORMED, 0, ps.start, "Empty");
        } else if (ps.end - ps.start > BL_MSG_MAX) {
                fail(&ps, BL_ELIMIT, 513, ps.start, "Message Too Large");
        } else if ((words = begin(&ps))) {
                struct lines ln = {.base = ps.start, .end = ps.end, .w = words, .block = (size_t)-64};

                headers = parse_start_line(&ps, &ln);
                if (headers) {
                        index_headers(&ps, &ln, headers);
                        parse_body(&ps, datagram);
                        parse_fields(&ps);
                }
        }
        if (ps.rc == 0)
                *ret_msg = ps.m;
        return finish(&ps, ret_error);
}
