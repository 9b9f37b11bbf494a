/* SPDX-License-Identifier: MIT */
#include "legacy/expiries.h"

#include <sodium.h>
#include <stdlib.h>

#define FIRST_SLOTS 1024

struct slot {
    uint64_t hash; /* 0 = free */
    int64_t at_ms;
};

/* Open addressing with linear probing, at most three quarters full. */
struct sg_expiries {
    struct slot *slots;
    size_t n, mask, most;
    unsigned char key[crypto_shorthash_KEYBYTES]; /* apps choose their keys: nobody may aim at slots
                                                   */
};

int
sg_expiries_new(size_t keys, struct sg_expiries **out, struct sg_err *err)
{
    struct sg_expiries *e = calloc(1, sizeof *e);

    if (e != NULL)
        e->slots = calloc(FIRST_SLOTS, sizeof *e->slots);
    if (e == NULL || e->slots == NULL) {
        free(e);
        return sg_fail(err, SG_E_INTERNAL, "expiries", "out of memory");
    }
    e->mask = FIRST_SLOTS - 1;
    for (e->most = FIRST_SLOTS; e->most < keys; e->most *= 2)
        ;
    randombytes_buf(e->key, sizeof e->key);
    *out = e;
    return 0;
}

void
sg_expiries_free(struct sg_expiries *e)
{
    if (e == NULL)
        return;
    free(e->slots);
    free(e);
}

void
sg_expiries_clear(struct sg_expiries *e)
{
    memset(e->slots, 0, (e->mask + 1) * sizeof *e->slots);
    e->n = 0;
}

static uint64_t
hash_of(const struct sg_expiries *e, struct sg_slice key)
{
    uint64_t h;

    crypto_shorthash((unsigned char *)&h, (const unsigned char *)key.ptr, key.len, e->key);
    return h != 0 ? h : 1;
}

static struct slot *
find(struct slot *slots, size_t mask, uint64_t hash)
{
    size_t i = hash & mask;

    while (slots[i].hash != 0 && slots[i].hash != hash)
        i = (i + 1) & mask;
    return &slots[i];
}

/* False where it may not or cannot. */
static bool
grow(struct sg_expiries *e)
{
    size_t slots = (e->mask + 1) * 2, i;
    struct slot *more = slots <= e->most * 2 ? calloc(slots, sizeof *more) : NULL;

    if (more == NULL)
        return false;
    for (i = 0; i <= e->mask; i++)
        if (e->slots[i].hash != 0)
            *find(more, slots - 1, e->slots[i].hash) = e->slots[i];
    free(e->slots);
    e->slots = more;
    e->mask = slots - 1;
    return true;
}

void
sg_expiries_put(struct sg_expiries *e, struct sg_slice key, int64_t at_ms)
{
    uint64_t hash = hash_of(e, key);
    struct slot *s = find(e->slots, e->mask, hash);

    if (s->hash == 0) {
        if (e->n == e->most)
            return;
        if (e->n >= (e->mask + 1) / 4 * 3) {
            if (!grow(e))
                return;
            s = find(e->slots, e->mask, hash);
        }
        e->n++;
    }
    *s = (struct slot){hash, at_ms};
}

/* Takes a slot out and moves up those after it that it had pushed on. */
static void
drop(struct sg_expiries *e, size_t i)
{
    size_t next = i, home;

    for (;;) {
        next = (next + 1) & e->mask;
        if (e->slots[next].hash == 0)
            break;
        home = e->slots[next].hash & e->mask;
        if (((next - home) & e->mask) < ((next - i) & e->mask))
            continue;
        e->slots[i] = e->slots[next];
        i = next;
    }
    e->slots[i].hash = 0;
    e->n--;
}

bool
sg_expiries_take(struct sg_expiries *e, struct sg_slice key, int64_t *at_ms)
{
    struct slot *s = find(e->slots, e->mask, hash_of(e, key));

    if (s->hash == 0)
        return false;
    *at_ms = s->at_ms;
    drop(e, (size_t)(s - e->slots));
    return true;
}

size_t
sg_expiries_count(const struct sg_expiries *e)
{
    return e->n;
}
