/*
 * bl_msg_parse: start line, one pass that indexes the headers, the body's length, then the fields that every element
 * needs.
 *
 * The first error is the one reported, but the pass goes on behind it where it can: a refusal needs Via, From, To,
 * Call-ID and CSeq of the broken request. Only a bare CR or LF ends it, since from there on nobody knows what a line
 * is.
 */
#include "sip/hid.h"
#include "sip/list.h"
#include "sip/msg.h"
#include "sip/scan.h"

enum { HDR_FIRST_CAP = 40 /* headers that fit without a second block */ };

struct parse {
        struct bl_str in;
        const char *start, *end; /* of the message in it */
        struct bl_arena *arena;
        struct bl_msg *m;
        struct bl_hdr *h;
        unsigned cap;
        int rc; /* 0 until the first error */
        struct bl_parse_error err;
};

/* Each names the field that it refuses, in the words of the reason phrase. */
static void fail(struct parse *ps, int rc, unsigned status, const char *at, const char *text)
{
        if (ps->rc < 0)
                return;
        ps->rc = rc;
        ps->err =
                (struct bl_parse_error){.status = (uint16_t)status, .offset = (uint32_t)(at - ps->in.p), .text = text};
}

static void malformed(struct parse *ps, const char *at, const char *text)
{
        fail(ps, BL_EMALFORMED, 400, at, text);
}

#ifdef __SSE2__
typedef char octets16 __attribute__((vector_size(16)));
#endif

/* The first CR or LF, or `end`. Most of the parser's time goes by in here. */
static const char *find_crlf(const char *p, const char *end)
{
#ifdef __SSE2__
        const octets16 ones = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};

        for (; end - p >= 16; p += 16) {
                octets16 v;
                int mask;

                memcpy(&v, p, 16);
                mask = __builtin_ia32_pmovmskb128((octets16)((v == ones * '\r') | (v == ones * '\n')));
                if (mask)
                        return p + __builtin_ctz((unsigned)mask);
        }
#else
        const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;

        for (; end - p >= 8; p += 8) {
                uint64_t v, a, b;

                memcpy(&v, p, 8);
                a = v ^ ones * '\r';
                b = v ^ ones * '\n';
                if ((((a - ones) & ~a) | ((b - ones) & ~b)) & tops)
                        break;
        }
#endif
        while (p < end && *p != '\r' && *p != '\n')
                p++;
        return p;
}

/* The octet after the logical line at p (its folds included), *ret_end at its CRLF; NULL and the error when there is
 * none. */
static const char *line_next(struct parse *ps, const char *p, bool folds, const char **ret_end)
{
        for (;;) {
                p = find_crlf(p, ps->end);
                if (p == ps->end || (p + 1 == ps->end && *p == '\r'))
                        return malformed(ps, p, "No empty line after the headers"), NULL;
                if (*p != '\r' || p[1] != '\n')
                        return malformed(ps, p, "Bare CR or LF in a header"), NULL;
                if (!folds || p + 2 == ps->end || !bl_is_wsp(p[2])) {
                        *ret_end = p;
                        return p + 2;
                }
                p += 3;
        }
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
        struct bl_uri uri;

        if (m->ruri.n && *m->ruri.p == '<')
                malformed(ps, m->ruri.p, "Request-URI in angle brackets"); /* RFC 3261 7.1 */
        else if (bl_uri_parse(m->ruri, &uri) < 0)
                malformed(ps, m->ruri.p, "Malformed Request-URI");
        else if (uri.headers.n)
                malformed(ps, uri.headers.p, "Headers in the Request-URI"); /* RFC 3261 19.1.2 */
        else if (uri.scheme == BL_SCHEME_OTHER)
                fail(ps, BL_EPROTO, 416, m->ruri.p, "Unsupported URI Scheme"); /* RFC 3261 16.3 item 2 */
}

/* Method SP Request-URI SP SIP-Version, RFC 3261 7.1: single spaces and none elsewhere. */
static void parse_request_line(struct parse *ps, const char *p, const char *end)
{
        struct bl_msg *m = ps->m;
        const char *q = bl_scan_run(p, end, C_TOKEN);
        int version;

        m->is_request = true;
        m->method_name = bl_str_make(p, (size_t)(q - p));
        m->method = bl_method_from(m->method_name);
        if (q == p || q == end || *q != ' ')
                return malformed(ps, q, "Malformed request line");
        p = q + 1;
        q = memchr(p, ' ', (size_t)(end - p));
        if (!q || q == p)
                return malformed(ps, p, "Malformed request line");
        m->ruri = bl_str_make(p, (size_t)(q - p));
        version = version_kind(q + 1, end);
        if (version == 0)
                return malformed(ps, q + 1, "Malformed request line");
        if (version == 1)
                return fail(ps, BL_EPROTO, 505, q + 1, "Version Not Supported");
        check_ruri(ps);
}

/* SIP-Version SP Status-Code SP Reason-Phrase, RFC 3261 7.2; a missing last SP is forgiven. */
static void parse_status_line(struct parse *ps, const char *p, const char *end)
{
        struct bl_msg *m = ps->m;
        const char *q = memchr(p, ' ', (size_t)(end - p));
        int version = version_kind(p, q ? q : end);

        m->is_request = false;
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
static const char *parse_start_line(struct parse *ps)
{
        const char *p = ps->start, *line_end, *next = line_next(ps, p, false, &line_end);

        if (!next)
                line_end = find_crlf(p, ps->end);
        if (line_end - p >= 4 && bl_str_ieq(bl_str_make(p, 4), BL_STR("SIP/")))
                parse_status_line(ps, p, line_end);
        else if (mentions_sip(line_end - p > 16 && version_kind(line_end - 7, line_end) == 2 ? line_end - 7 : p,
                              line_end))
                parse_request_line(ps, p, line_end);
        else
                fail(ps, BL_EMALFORMED, 0, p, "Not SIP");
        return next;
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

static bool grow(struct parse *ps)
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

/* One header line [p, line_end), the next one at `next`. False when there is no room. */
static bool add_header(struct parse *ps, const char *p, const char *line_end, const char *next)
{
        struct bl_msg *m = ps->m;
        const char *name_end = bl_scan_run(p, line_end, C_TOKEN), *v = name_end;
        enum bl_hid id;
        struct bl_hdr *h;

        while (v < line_end && bl_is_wsp(*v))
                v++; /* HCOLON, RFC 3261 25.1 */
        if (v == line_end || *v != ':' || name_end == p)
                return malformed(ps, p, "Header line without a name and colon"), true;
        if (name_end - p > 255)
                return malformed(ps, p, "Header name too long"), true;
        if (m->n == ps->cap && !grow(ps))
                return false;
        id = bl_hid_fold(p, (size_t)(name_end - p));
        v = bl_scan_lws(v + 1, line_end);
        while (line_end > v && (bl_is_wsp(line_end[-1]) || line_end[-1] == '\r' || line_end[-1] == '\n'))
                line_end--;
        h = &ps->h[m->n];
        *h = (struct bl_hdr){
                .id = (uint8_t)id,
                .name_len = (uint8_t)(name_end - p),
                .next = BL_HDR_NONE,
                .name = (uint32_t)(p - ps->start),
                .value = (uint32_t)(v - ps->start),
                .value_len = (uint16_t)(line_end - v),
                .line_len = (uint16_t)(next - p),
        };
        if (m->first[id] == BL_HDR_NONE) {
                m->first[id] = m->n;
        } else {
                ps->h[m->last[id]].next = m->n;
                if (single_headers >> id & 1)
                        fail(ps, BL_EPROTO, 400, p, "Header that may stand only once stands twice");
        }
        m->last[id] = m->n++;
        return true;
}

static void index_headers(struct parse *ps, const char *p)
{
        struct bl_msg *m = ps->m;

        m->headers_off = (uint32_t)(p - ps->start);
        for (;;) {
                const char *line_end, *next;

                if (ps->end - p >= 2 && p[0] == '\r' && p[1] == '\n')
                        break;
                next = line_next(ps, p, true, &line_end);
                if (!next || !add_header(ps, p, line_end, next)) {
                        m->body_off = (uint32_t)(p - ps->start);
                        return;
                }
                p = next;
        }
        m->body_off = (uint32_t)(p + 2 - ps->start);
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

                if (bl_str_u32(value, &length) < 0)
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
static void parse_cseq(struct parse *ps)
{
        struct bl_msg *m = ps->m;
        struct bl_str v = bl_msg_value(m, BL_H_CSEQ);
        const char *end = v.p + v.n, *q = bl_scan_run(v.p, end, C_DIGIT), *name = bl_scan_lws(q, end);
        uint32_t number;
        int rc = bl_str_u32(bl_str_make(v.p, (size_t)(q - v.p)), &number);

        if (q > v.p && (rc == BL_ELIMIT || (rc == 0 && number > INT32_MAX)))
                return fail(ps, BL_EPROTO, 400, v.p, "CSeq number out of range");
        if (rc < 0 || name == q || name == end || bl_scan_run(name, end, C_TOKEN) != end)
                return malformed(ps, v.p, "Malformed CSeq");
        m->cseq.number = number;
        m->cseq.method_name = bl_str_make(name, (size_t)(end - name));
        m->cseq.method = bl_method_from(m->cseq.method_name);
        if (!m->is_request)
                m->method = m->cseq.method;
        else if (m->method != m->cseq.method || !bl_str_eq(m->method_name, m->cseq.method_name))
                fail(ps, BL_EPROTO, 400, name, "CSeq method does not match");
}

static void parse_party(struct parse *ps, enum bl_hid id, const char *text, struct bl_str *ret_tag)
{
        struct bl_str v = bl_msg_value(ps->m, id);
        struct bl_nameaddr na;

        if (bl_nameaddr_parse(v, &na) < 0 || na.star)
                return malformed(ps, v.p, text);
        *ret_tag = bl_nameaddr_tag(&na);
}

static void parse_call_id(struct parse *ps)
{
        struct bl_str v = bl_msg_value(ps->m, BL_H_CALL_ID);

        ps->m->call_id = v;
        for (size_t i = 0; i < v.n; i++)
                if (v.p[i] <= ' ' || v.p[i] == 0x7f) /* more than `word`, for peers that put "=" there */
                        return malformed(ps, v.p, "Malformed Call-ID");
        if (v.n == 0)
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
        rc = bl_str_u32(v, &n);
        if (rc == BL_EMALFORMED)
                return malformed(ps, v.p, "Malformed Max-Forwards");
        if (rc < 0 || n > 255) /* RFC 3261 20.22 */
                return fail(ps, BL_EPROTO, 400, v.p, "Max-Forwards out of range");
        ps->m->max_forwards = (int32_t)n;
}

/* All Via values: each is a hop that the answer must find back over. */
static void parse_vias(struct parse *ps)
{
        struct bl_msg *m = ps->m;
        struct bl_list_walk w = bl_list_walk_begin(m, BL_H_VIA);
        struct bl_via via;
        bool top = true;

        while (bl_list_walk_next(m, &w)) {
                if (bl_via_parse(w.value, top ? &m->via : &via) < 0)
                        malformed(ps, w.value.p, "Malformed Via");
                top = false;
        }
}

static void check_addresses(struct parse *ps, enum bl_hid id, bool need_angle, const char *text)
{
        struct bl_msg *m = ps->m;
        struct bl_list_walk w = bl_list_walk_begin(m, id);
        unsigned n = 0;
        bool star = false;
        struct bl_nameaddr na;

        while (bl_list_walk_next(m, &w)) {
                if (bl_nameaddr_parse(w.value, &na) < 0 || (need_angle && !na.angle))
                        return malformed(ps, w.value.p, text);
                star |= na.star;
                /* RFC 3261 20.10: "*" stands alone */
                if (star && (id != BL_H_CONTACT || ++n > 1))
                        return malformed(ps, w.value.p, text);
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

static bool begin(struct parse *ps)
{
        struct bl_msg *m = bl_arena_alloc(ps->arena, sizeof *m + HDR_FIRST_CAP * sizeof *ps->h);

        if (!m) {
                fail(ps, BL_ENOMEM, 503, ps->start, "Out of memory");
                return false;
        }
        memset(m, 0, sizeof *m);
        memset(m->first, 0xff, sizeof m->first);
        ps->m = m;
        m->h = ps->h = (struct bl_hdr *)(void *)(m + 1);
        ps->cap = HDR_FIRST_CAP;
        m->octets = bl_str_make(ps->start, (size_t)(ps->end - ps->start));
        return true;
}

static int finish(struct parse *ps, struct bl_parse_error *ret_error)
{
        struct bl_msg *m = ps->m;

        if (ps->rc == 0)
                return 0;
        /* A response is never answered, nor is an ACK (RFC 3261 17.1.1.3); what has no Via has nowhere to be answered
         * to. */
        if (m && (!m->is_request || m->method == BL_M_ACK))
                ps->err.status = 0;
        if (m && ps->err.status && m->via.host.n)
                ps->err.partial = m;
        if (ret_error)
                *ret_error = ps->err;
        return ps->rc;
}

int bl_msg_parse(struct bl_str in, bool datagram, struct bl_arena *arena, struct bl_msg **ret_msg,
                 struct bl_parse_error *ret_error)
{
        struct parse ps = {.in = in.n ? in : bl_str_make("", 0), .arena = arena};
        const char *headers;

        ps.start = ps.in.p;
        ps.end = ps.in.p + ps.in.n;
        while (ps.end - ps.start >= 2 && ps.start[0] == '\r' && ps.start[1] == '\n')
                ps.start += 2; /* RFC 3261 7.5 */
        if (ps.start == ps.end) {
                fail(&ps, BL_EMALFORMED, 0, ps.start, "Empty");
        } else if (ps.end - ps.start > BL_MSG_MAX) {
                fail(&ps, BL_ELIMIT, 513, ps.start, "Message Too Large");
        } else if (begin(&ps)) {
                headers = parse_start_line(&ps);
                if (headers) {
                        index_headers(&ps, headers);
                        parse_body(&ps, datagram);
                        parse_fields(&ps);
                }
        }
        if (ps.rc == 0)
                *ret_msg = ps.m;
        return finish(&ps, ret_error);
}
