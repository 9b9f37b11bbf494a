/* SPDX-License-Identifier: MIT */
#include "doc/doc.h"

#include <stdalign.h>
#include <stddef.h>
#include <stdlib.h>

#define ALIGN alignof(max_align_t)
#define CHUNK_MIN ((size_t)16 << 10)
#define CHUNK_MAX ((size_t)1 << 20) /* what a batch wastes at the end of its chunks stays small */

/* Chunks in the order they are filled. Those after `now` are left from the batch before. */
struct chunk {
    struct chunk *next;
    size_t size;
    alignas(max_align_t) char bytes[];
};

struct sg_arena {
    size_t bytes_max, held;
    struct chunk *first, *now;
    size_t used; /* of now */
};

int
sg_arena_new(size_t bytes_max, struct sg_arena **out, struct sg_err *err)
{
    struct sg_arena *a = calloc(1, sizeof *a);

    if (a == NULL)
        return sg_fail(err, SG_E_INTERNAL, "arena", "out of memory");
    a->bytes_max = bytes_max;
    *out = a;
    return 0;
}

static void
free_from(struct sg_arena *a, struct chunk **link)
{
    struct chunk *c;

    while ((c = *link) != NULL) {
        *link = c->next;
        a->held -= c->size;
        free(c);
    }
}

void
sg_arena_free(struct sg_arena *a)
{
    if (a == NULL)
        return;
    free_from(a, &a->first);
    free(a);
}

void
sg_arena_reset(struct sg_arena *a)
{
    a->now = a->first;
    a->used = 0;
}

/* Goes on to a chunk that holds `bytes`. A kept one that is too small makes room for it. */
static bool
next_chunk(struct sg_arena *a, size_t bytes)
{
    struct chunk **link = a->now != NULL ? &a->now->next : &a->first, *c = *link;
    size_t size = a->now != NULL ? a->now->size * 2 : CHUNK_MIN;

    if (c == NULL || c->size < bytes) {
        free_from(a, link);
        if (size > CHUNK_MAX)
            size = CHUNK_MAX;
        if (size > a->bytes_max - a->held)
            size = a->bytes_max - a->held;
        if (size < bytes)
            size = bytes;
        if (size > a->bytes_max - a->held || (c = malloc(sizeof *c + size)) == NULL)
            return false;
        c->next = NULL;
        c->size = size;
        a->held += size;
        *link = c;
    }
    a->now = c;
    a->used = 0;
    return true;
}

void *
sg_arena_alloc(struct sg_arena *a, size_t bytes)
{
    void *p;

    if (bytes > a->bytes_max)
        return NULL;
    bytes = (bytes + ALIGN - 1) & ~(ALIGN - 1);
    if ((a->now == NULL || bytes > a->now->size - a->used) && !next_chunk(a, bytes))
        return NULL;
    p = a->now->bytes + a->used;
    a->used += bytes;
    return p;
}

size_t
sg_arena_left(const struct sg_arena *a)
{
    const struct chunk *c;
    size_t left = a->bytes_max - a->held;

    for (c = a->now != NULL ? a->now->next : a->first; c != NULL; c = c->next)
        left += c->size;
    return left;
}
