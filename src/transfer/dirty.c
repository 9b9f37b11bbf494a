/* SPDX-License-Identifier: MIT */
#include "transfer/dirty.h"

#include "base/hash.h"

#include <assert.h>
#include <stdlib.h>

enum place { QUEUED, BUSY, WAITING };

/* What happened to a key since it was last handed out. */
struct news {
    bool written, deleted;
    char *renamed_from;
    uint64_t epoch; /* of the first of it */
};

struct entry {
    struct sg_dirty_key pub;
    struct entry *hash_next;
    struct entry *prev, *next; /* in its lane's queue, or in its shard's list */
    enum place place;
    int waits_for; /* shard; -1 = none; stays while it is tried again */
    uint64_t epoch;
    struct news later; /* while busy */
    bool has_later;
    char key[];
};

struct list {
    struct entry *first, *last;
    int n;
};

struct sg_dirty {
    int capacity, count, lanes;
    size_t mask;
    uint64_t seed;
    struct entry **table;
    struct list *queue[2]; /* a list a lane: deleted keys, others */
    struct list *waiting;  /* a list a shard */
    int *held_up;          /* keys a shard holds up: waiting, or tried again */
    uint64_t epoch;        /* the open one */
    uint64_t oldest;       /* none before it has anything open */
    int open[SG_DIRTY_EPOCHS];
};

static size_t
slot(const struct sg_dirty *d, struct sg_slice key)
{
    uint64_t h = 14695981039346656037u ^ d->seed;
    size_t i;

    for (i = 0; i < key.len; i++)
        h = (h ^ (unsigned char)key.ptr[i]) * 1099511628211u;
    return (size_t)(h ^ (h >> 32)) & d->mask;
}

static void
append(struct list *list, struct entry *e)
{
    e->prev = list->last;
    e->next = NULL;
    if (list->last != NULL)
        list->last->next = e;
    else
        list->first = e;
    list->last = e;
    list->n++;
}

static void
unlink_from(struct list *list, struct entry *e)
{
    if (e->prev != NULL)
        e->prev->next = e->next;
    else
        list->first = e->next;
    if (e->next != NULL)
        e->next->prev = e->prev;
    else
        list->last = e->prev;
    e->prev = e->next = NULL;
    list->n--;
}

int
sg_dirty_new(int keys, int lanes, struct sg_dirty **out, struct sg_err *err)
{
    struct sg_dirty *d = calloc(1, sizeof *d);
    size_t slots = 64;

    while (slots < (size_t)keys)
        slots *= 2;
    if (d != NULL) {
        d->capacity = keys;
        d->lanes = lanes;
        d->mask = slots - 1;
        d->table = calloc(slots, sizeof(struct entry *));
        d->queue[0] = calloc((size_t)lanes, sizeof *d->queue[0]);
        d->queue[1] = calloc((size_t)lanes, sizeof *d->queue[1]);
        d->waiting = calloc((size_t)lanes, sizeof *d->waiting);
        d->held_up = calloc((size_t)lanes, sizeof *d->held_up);
    }
    if (d == NULL || d->table == NULL || d->queue[0] == NULL || d->queue[1] == NULL ||
        d->waiting == NULL || d->held_up == NULL) {
        sg_dirty_free(d);
        return sg_fail(err, SG_E_INTERNAL, "changes", "out of memory");
    }
    sg_random(&d->seed, sizeof d->seed);
    *out = d;
    return 0;
}

static void
free_entry(struct entry *e)
{
    free(e->pub.renamed_from);
    free(e->later.renamed_from);
    free(e);
}

void
sg_dirty_free(struct sg_dirty *d)
{
    size_t i;

    if (d == NULL)
        return;
    for (i = 0; d->table != NULL && i <= d->mask; i++) {
        while (d->table[i] != NULL) {
            struct entry *e = d->table[i];

            d->table[i] = e->hash_next;
            free_entry(e);
        }
    }
    free(d->table);
    free(d->queue[0]);
    free(d->queue[1]);
    free(d->waiting);
    free(d->held_up);
    free(d);
}

static struct entry *
find(const struct sg_dirty *d, struct sg_slice key)
{
    struct entry *e = d->table[slot(d, key)];

    while (e != NULL && !sg_slice_eq(e->pub.key, key))
        e = e->hash_next;
    return e;
}

static struct list *
queue_of(struct sg_dirty *d, const struct entry *e)
{
    return &d->queue[e->pub.deleted ? 0 : 1][e->pub.lane];
}

static struct entry *
add(struct sg_dirty *d, struct sg_slice key, int lane)
{
    struct entry *e;
    size_t s = slot(d, key);

    if (d->count >= d->capacity || (e = calloc(1, sizeof *e + key.len + 1)) == NULL)
        return NULL;
    memcpy(e->key, key.ptr, key.len);
    e->pub.key = sg_slice(e->key, key.len);
    e->pub.lane = lane;
    e->waits_for = -1;
    e->epoch = d->epoch;
    e->hash_next = d->table[s];
    d->table[s] = e;
    d->count++;
    d->open[d->epoch % SG_DIRTY_EPOCHS]++;
    return e;
}

static void
drop(struct sg_dirty *d, struct entry *e)
{
    struct entry **at = &d->table[slot(d, e->pub.key)];

    while (*at != e)
        at = &(*at)->hash_next;
    *at = e->hash_next;
    d->count--;
    free_entry(e);
}

/* Adds news to an entry, or a new entry. A key that waits for a shard learns of it in place. */
static bool
note(struct sg_dirty *d, struct sg_slice key, int lane, bool written, bool deleted, char *from)
{
    struct entry *e = find(d, key);
    bool fresh = e == NULL;

    if (fresh && (e = add(d, key, lane)) == NULL) {
        free(from);
        return false;
    }
    if (e->place == BUSY && !fresh) {
        if (!e->has_later) {
            e->has_later = true;
            e->later = (struct news){.epoch = d->epoch};
            d->open[d->epoch % SG_DIRTY_EPOCHS]++;
        }
        e->later.written |= written;
        e->later.deleted |= deleted;
        if (from != NULL) {
            free(e->later.renamed_from);
            e->later.renamed_from = from;
        }
        return true;
    }
    if (!fresh && e->place == QUEUED)
        unlink_from(queue_of(d, e), e);
    e->pub.written |= written;
    e->pub.deleted |= deleted;
    if (from != NULL) {
        free(e->pub.renamed_from);
        e->pub.renamed_from = from;
    }
    if (e->place == QUEUED)
        append(queue_of(d, e), e);
    return true;
}

bool
sg_dirty_written(struct sg_dirty *d, struct sg_slice key, int lane)
{
    return note(d, key, lane, true, false, NULL);
}

bool
sg_dirty_deleted(struct sg_dirty *d, struct sg_slice key, int lane)
{
    return note(d, key, lane, false, true, NULL);
}

bool
sg_dirty_renamed(struct sg_dirty *d, struct sg_slice from, struct sg_slice to, int lane)
{
    char *copy = strndup(from.ptr, from.len);

    return copy != NULL && note(d, to, lane, true, false, copy);
}

int
sg_dirty_take(struct sg_dirty *d, int lane, struct sg_dirty_key **out, int max)
{
    int i, n = 0;

    for (i = 0; i < 2; i++) {
        struct list *list = &d->queue[i][lane];

        while (n < max && list->first != NULL) {
            struct entry *e = list->first;

            unlink_from(list, e);
            e->place = BUSY;
            out[n++] = &e->pub;
        }
    }
    return n;
}

/* The one place where a key stops being accounted for. */
static void
settle(struct sg_dirty *d, struct entry *e)
{
    if (e->waits_for >= 0) {
        d->held_up[e->waits_for]--;
        e->waits_for = -1;
    } else {
        d->open[e->epoch % SG_DIRTY_EPOCHS]--;
    }
}

void
sg_dirty_done(struct sg_dirty *d, struct sg_dirty_key *key)
{
    struct entry *e = sg_container_of(key, struct entry, pub);

    assert(e->place == BUSY);
    settle(d, e);
    if (!e->has_later) {
        drop(d, e);
        return;
    }
    free(e->pub.renamed_from);
    e->pub.written = e->later.written;
    e->pub.deleted = e->later.deleted;
    e->pub.renamed_from = e->later.renamed_from;
    e->epoch = e->later.epoch;
    e->later = (struct news){0};
    e->has_later = false;
    e->place = QUEUED;
    append(queue_of(d, e), e);
}

void
sg_dirty_blocked(struct sg_dirty *d, struct sg_dirty_key *key, int shard)
{
    struct entry *e = sg_container_of(key, struct entry, pub);

    assert(e->place == BUSY);
    settle(d, e);
    if (e->has_later) { /* its own account moves along: from now on the shard holds both up */
        d->open[e->later.epoch % SG_DIRTY_EPOCHS]--;
        e->pub.written |= e->later.written;
        e->pub.deleted |= e->later.deleted;
        if (e->later.renamed_from != NULL) {
            free(e->pub.renamed_from);
            e->pub.renamed_from = e->later.renamed_from;
        }
        e->later = (struct news){0};
        e->has_later = false;
    }
    e->waits_for = shard;
    d->held_up[shard]++;
    e->place = WAITING;
    append(&d->waiting[shard], e);
}

int
sg_dirty_unblock(struct sg_dirty *d, int shard, int max)
{
    int n = 0;

    while (n < max && d->waiting[shard].first != NULL) {
        struct entry *e = d->waiting[shard].first;

        unlink_from(&d->waiting[shard], e);
        e->place = QUEUED;
        append(queue_of(d, e), e);
        n++;
    }
    return n;
}

uint64_t
sg_dirty_close_epoch(struct sg_dirty *d)
{
    uint64_t closed = d->epoch;

    while (d->oldest < d->epoch && d->open[d->oldest % SG_DIRTY_EPOCHS] == 0)
        d->oldest++;
    if (d->epoch - d->oldest < SG_DIRTY_EPOCHS - 1)
        d->epoch++;
    return closed;
}

bool
sg_dirty_passed(struct sg_dirty *d, uint64_t epoch, int shard)
{
    while (d->oldest < d->epoch && d->open[d->oldest % SG_DIRTY_EPOCHS] == 0)
        d->oldest++;
    if (d->held_up[shard] > 0)
        return false;
    return d->oldest > epoch || (d->oldest == epoch && d->open[epoch % SG_DIRTY_EPOCHS] == 0);
}

int
sg_dirty_count(const struct sg_dirty *d)
{
    return d->count;
}

int
sg_dirty_queued(const struct sg_dirty *d, int lane)
{
    return d->queue[0][lane].n + d->queue[1][lane].n;
}

int
sg_dirty_waiting(const struct sg_dirty *d, int shard)
{
    return d->waiting[shard].n;
}
