#include "unit/oom.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_aligned_alloc(size_t align, size_t n);
int __real_posix_memalign(void **ret, size_t align, size_t n);
char *__real_strdup(const char *s);
char *__real_strndup(const char *s, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_aligned_alloc(size_t align, size_t n);
int __wrap_posix_memalign(void **ret, size_t align, size_t n);
char *__wrap_strdup(const char *s);
char *__wrap_strndup(const char *s, size_t n);

static _Thread_local long countdown = -1, asked;
static _Thread_local bool struck;

void oom_fail_at(long n)
{
        countdown = n;
        struck = false;
}

void oom_stop(void)
{
        countdown = -1;
}
bool oom_struck(void)
{
        return struck;
}
long oom_count(void)
{
        return asked;
}

bool oom_next(struct oom_run *r)
{
        if (r->begun && !struck) {
                oom_stop();
                return false;
        }
        r->n = r->begun ? r->n + 1 : 0;
        r->begun = true;
        oom_fail_at(r->n);
        return true;
}

static bool fails(void)
{
        asked++;
        if (countdown < 0 || countdown-- > 0)
                return false;
        struck = true;
        errno = ENOMEM;
        return true;
}

void *__wrap_malloc(size_t n)
{
        return fails() ? NULL : __real_malloc(n);
}
void *__wrap_calloc(size_t n, size_t size)
{
        return fails() ? NULL : __real_calloc(n, size);
}
void *__wrap_realloc(void *p, size_t n)
{
        return fails() ? NULL : __real_realloc(p, n);
}
void *__wrap_aligned_alloc(size_t align, size_t n)
{
        return fails() ? NULL : __real_aligned_alloc(align, n);
}
int __wrap_posix_memalign(void **ret, size_t align, size_t n)
{
        return fails() ? ENOMEM : __real_posix_memalign(ret, align, n);
}
char *__wrap_strdup(const char *s)
{
        return fails() ? NULL : __real_strdup(s);
}
char *__wrap_strndup(const char *s, size_t n)
{
        return fails() ? NULL : __real_strndup(s, n);
}

/* ---- pools ---- */

void *__real_bl_pool_alloc(struct bl_pool *p, size_t n);
void *__real_bl_pool_zalloc(struct bl_pool *p, size_t n);
struct bl_buf *__real_bl_buf_new(struct bl_pool *p, size_t cap);
struct bl_buf *__real_bl_buf_copy(struct bl_pool *p, struct bl_str octets);
void *__wrap_bl_pool_alloc(struct bl_pool *p, size_t n);
void *__wrap_bl_pool_zalloc(struct bl_pool *p, size_t n);
struct bl_buf *__wrap_bl_buf_new(struct bl_pool *p, size_t cap);
struct bl_buf *__wrap_bl_buf_copy(struct bl_pool *p, struct bl_str octets);

static _Thread_local const struct bl_pool *failing;
static _Thread_local long pool_countdown;
static _Thread_local bool pool_struck;

void oom_pool_fail_at(const struct bl_pool *p, long n)
{
        failing = p;
        pool_countdown = n;
        pool_struck = false;
}

bool oom_pool_struck(void)
{
        return pool_struck;
}

static bool pool_fails(const struct bl_pool *p)
{
        if (p != failing || !p || pool_countdown-- > 0)
                return false;
        failing = NULL;
        return pool_struck = true;
}

void *__wrap_bl_pool_alloc(struct bl_pool *p, size_t n)
{
        return pool_fails(p) ? NULL : __real_bl_pool_alloc(p, n);
}

void *__wrap_bl_pool_zalloc(struct bl_pool *p, size_t n)
{
        return pool_fails(p) ? NULL : __real_bl_pool_zalloc(p, n);
}

struct bl_buf *__wrap_bl_buf_new(struct bl_pool *p, size_t cap)
{
        return pool_fails(p) ? NULL : __real_bl_buf_new(p, cap);
}

struct bl_buf *__wrap_bl_buf_copy(struct bl_pool *p, struct bl_str octets)
{
        return pool_fails(p) ? NULL : __real_bl_buf_copy(p, octets);
}
