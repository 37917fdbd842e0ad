#include "io/watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <uv.h>

#include "base/hash.h"

enum { DEBOUNCE_MS = 500, LOOK_MS = 60000 };

struct folder { /* one directory in which a watched name stands */
        uv_fs_event_t event;
        struct folder *next;
        struct bl_watch *watch;
        bool started;
        char path[];
};

struct bl_watch {
        struct bl_world *world;
        void (*fn)(void *arg);
        void *arg;
        uv_timer_t timer; /* looks once a minute; after an event soon */
        bool soon;
        char **paths;
        unsigned n;
        struct folder *folders;
        uint64_t seen; /* what the files were */
};

/* A digest of which files the names lead to, and of their state. */
static uint64_t look(const struct bl_watch *w)
{
        uint64_t all = 1;
        for (unsigned i = 0; i < w->n; i++) {
                struct stat st;
                bool there = stat(w->paths[i], &st) == 0;
                uint64_t what[] = {there ? (uint64_t)st.st_dev : 0,          there ? (uint64_t)st.st_ino : 0,
                                   there ? (uint64_t)st.st_size : 0,         there ? (uint64_t)st.st_mtim.tv_sec : 0,
                                   there ? (uint64_t)st.st_mtim.tv_nsec : 0, there};
                all = bl_hash_mix(all, bl_hash(0, bl_str_make((const char *)what, sizeof(what))));
        }
        return all;
}

static void on_time(uv_timer_t *t)
{
        struct bl_watch *w = t->data;
        w->soon = false;
        uv_timer_start(&w->timer, on_time, LOOK_MS, 0);
        uint64_t now = look(w);
        if (now == w->seen)
                return;
        w->seen = now;
        bl_world_enter(bl_world_env(w->world, 0));
        w->fn(w->arg);
}

static void on_event(uv_fs_event_t *e, const char *name, int events, int status)
{
        struct bl_watch *w = ((struct folder *)e->data)->watch;
        (void)name;
        (void)events;
        (void)status; /* whatever it was: looking tells */
        if (w->soon)
                return;
        w->soon = true;
        uv_timer_start(&w->timer, on_time, DEBOUNCE_MS, 0);
}

static void folder_closed(uv_handle_t *h)
{
        free(h->data);
}

static void forget(struct bl_watch *w)
{
        while (w->folders) {
                struct folder *f = w->folders;
                w->folders = f->next;
                f->event.data = f;
                uv_close((uv_handle_t *)&f->event, folder_closed);
        }
        for (unsigned i = 0; i < w->n; i++)
                free(w->paths[i]);
        free(w->paths);
        w->paths = NULL;
        w->n = 0;
}

/* A folder that cannot be watched (none there, no inotify left) is still looked into once a minute. */
static int add_folder(struct bl_watch *w, const char *path)
{
        const char *slash = strrchr(path, '/');
        size_t n = !slash ? 1 : slash == path ? 1 : (size_t)(slash - path);
        const char *name = slash ? path : ".";
        for (struct folder *f = w->folders; f; f = f->next) {
                if (strlen(f->path) == n && memcmp(f->path, name, n) == 0)
                        return 0;
        }
        struct folder *f = calloc(1, sizeof(*f) + n + 1);
        if (!f)
                return BL_ENOMEM;
        memcpy(f->path, name, n);
        f->watch = w;
        uv_fs_event_init(bl_world_loop(w->world, 0), &f->event);
        f->event.data = f;
        f->started = uv_fs_event_start(&f->event, on_event, f->path, 0) == 0;
        f->next = w->folders;
        w->folders = f;
        return 0;
}

int bl_watch_set(struct bl_watch *w, const struct bl_str *paths, unsigned n)
{
        int rc = 0;
        forget(w);
        w->paths = calloc(n + 1, sizeof(*w->paths));
        if (!w->paths)
                return BL_ENOMEM;
        for (; rc == 0 && w->n < n; w->n++) {
                w->paths[w->n] = strndup(paths[w->n].p, paths[w->n].n);
                rc = w->paths[w->n] ? add_folder(w, w->paths[w->n]) : BL_ENOMEM;
        }
        w->seen = look(w);
        uv_timer_start(&w->timer, on_time, LOOK_MS, 0);
        w->soon = false;
        if (rc < 0)
                forget(w);
        return rc;
}

struct bl_watch *bl_watch_open(struct bl_world *world, void (*fn)(void *arg), void *arg)
{
        struct bl_watch *w = calloc(1, sizeof(*w));
        if (!w)
                return NULL;
        w->world = world;
        w->fn = fn;
        w->arg = arg;
        uv_timer_init(bl_world_loop(world, 0), &w->timer);
        uv_unref((uv_handle_t *)&w->timer);
        w->timer.data = w;
        return w;
}

static void watch_closed(uv_handle_t *h)
{
        free(h->data);
}

void bl_watch_close(struct bl_watch *w)
{
        if (!w)
                return;
        forget(w);
        uv_close((uv_handle_t *)&w->timer, watch_closed);
}
