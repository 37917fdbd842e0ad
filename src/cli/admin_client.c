#include "cli/admin_client.h"

#include <curl/curl.h>
#include <glob.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"
#include "cli/cli.h"

struct asking {
        const struct bl_admin_question *q;
        CURL *curl;
        long status; /* of the answer; 0 until it is known */
        char *line;  /* an unfinished one */
        size_t n, cap;
        char refusal[512];
};

static void take_line(struct asking *a, char *line)
{
        if (a->status == 200) {
                a->q->line(a->q->ctx, line);
                return;
        }
        json_t *o = json_loads(line, 0, NULL);
        const char *why = json_string_value(json_object_get(o, "error"));
        (void)snprintf(a->refusal, sizeof(a->refusal), "%s", why ? why : line);
        json_decref(o);
}

static size_t take(char *octets, size_t size, size_t n, void *arg)
{
        struct asking *a = arg;
        (void)size;
        curl_easy_getinfo(a->curl, CURLINFO_RESPONSE_CODE, &a->status);
        if (a->cap - a->n <= n) {
                char *more = realloc(a->line, a->cap = (a->n + n) * 2 + 256);
                if (!more)
                        return 0;
                a->line = more;
        }
        memcpy(a->line + a->n, octets, n);
        a->n += n;
        char *start = a->line, *end;
        while ((end = memchr(start, '\n', a->n - (size_t)(start - a->line)))) {
                *end = 0;
                take_line(a, start);
                start = end + 1;
        }
        a->n -= (size_t)(start - a->line);
        memmove(a->line, start, a->n);
        return n;
}

int bl_admin_find_socket(const char *node, char *ret, size_t cap)
{
        glob_t g = {0};
        if (node) {
                (void)snprintf(ret, cap, "/run/belay/%s.sock", node);
                return 0;
        }
        int rc = glob("/run/belay/*.sock", 0, NULL, &g);
        if (rc == 0 && g.gl_pathc == 1) {
                (void)snprintf(ret, cap, "%s", g.gl_pathv[0]);
        } else if (rc == 0) {
                fprintf(stderr, "belay: which node? There are %zu in /run/belay; name one\n", g.gl_pathc);
                rc = BL_EINVAL;
        } else {
                fprintf(stderr,
                        "belay: no node has a socket in /run/belay; name one with --socket PATH (`admin.socket` "
                        "of its configuration)\n");
                rc = BL_ENOENT;
        }
        globfree(&g);
        return rc;
}

int bl_admin_ask(const struct bl_admin_question *q)
{
        struct asking a = {.q = q, .curl = curl_easy_init()};
        char url[512];
        if (!a.curl) {
                fprintf(stderr, "belay: no memory\n");
                return BL_EXIT_UNREACHABLE;
        }
        (void)snprintf(url, sizeof(url), "http://node/%s", q->path);
        curl_easy_setopt(a.curl, CURLOPT_UNIX_SOCKET_PATH, q->socket);
        curl_easy_setopt(a.curl, CURLOPT_URL, url);
        curl_easy_setopt(a.curl, CURLOPT_NOPROXY, "*");
        curl_easy_setopt(a.curl, CURLOPT_WRITEFUNCTION, take);
        curl_easy_setopt(a.curl, CURLOPT_WRITEDATA, &a);
        if (q->post)
                curl_easy_setopt(a.curl, CURLOPT_POSTFIELDS, "");
        CURLcode rc = curl_easy_perform(a.curl);
        curl_easy_getinfo(a.curl, CURLINFO_RESPONSE_CODE, &a.status); /* also of an answer without a body */
        curl_easy_cleanup(a.curl);
        free(a.line);
        if (rc == CURLE_OK && a.status == 200)
                return BL_EXIT_DONE;
        if (rc == CURLE_OK) {
                fprintf(stderr, "belay: the node says: %s\n", a.refusal);
                return a.status >= 500 ? BL_EXIT_UNREACHABLE : BL_EXIT_NO;
        }
        fprintf(stderr, "belay: %s: %s; does the node run, and is this its `admin.socket`?\n", q->socket,
                curl_easy_strerror(rc));
        return BL_EXIT_UNREACHABLE;
}
