/* SPDX-License-Identifier: MIT */
#include "session/attempts.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <uv.h>

#define SETS 16384
#define WAYS 8
#define KEY_BYTES 16
#define REMEMBER_NS (UINT64_C(30) * 86400 * 1000 * SG_NS_PER_MS)

enum kind { ADDRESS, LOGIN, PAIR, N_KINDS };

/* full_ns: when the budget is full again if nothing more is paid from it. So a try costs a shift of
 * that moment by window / N, and may be had while it is less than a window ahead. */
struct budget {
    uint8_t key[KEY_BYTES];
    uint64_t full_ns; /* with both 0: the slot is free */
    uint64_t known_until_ns;
};

struct sg_attempts {
    uv_mutex_t lock;
    uint8_t key[32];
    struct budget budgets[SETS][WAYS];
};

int
sg_attempts_new(struct sg_attempts **out, struct sg_err *err)
{
    struct sg_attempts *a = calloc(1, sizeof *a);

    if (a == NULL || uv_mutex_init(&a->lock) != 0) {
        free(a);
        return sg_fail(err, SG_E_INTERNAL, "attempts", "out of memory");
    }
    sg_random(a->key, sizeof a->key);
    *out = a;
    return 0;
}

void
sg_attempts_free(struct sg_attempts *a)
{
    if (a == NULL)
        return;
    uv_mutex_destroy(&a->lock);
    free(a);
}

static struct sg_hash
key_of(const struct sg_attempts *a, const struct sg_attempt *t, enum kind kind)
{
    static const char *const names[] = {"address", "login", "pair"};
    struct sg_slice fields[] = {
        sg_str(t->realm), sg_str(names[kind]),
        kind == ADDRESS ? sg_slice("", 0) : sg_slice((const char *)t->login.b, sizeof t->login.b),
        kind == LOGIN ? sg_slice("", 0) : sg_slice((const char *)t->address, sizeof t->address)};

    return sg_hmac_fields(sg_slice((const char *)a->key, sizeof a->key), "segue.attempts", fields,
                          4);
}

static uint64_t
price_ns(const struct sg_attempts_limits *l, enum kind kind)
{
    int64_t n = kind == ADDRESS ? l->per_address : kind == LOGIN ? l->per_login : l->per_pair;

    return (uint64_t)(l->window_ms / n) * SG_NS_PER_MS;
}

static struct budget *
find(struct sg_attempts *a, const struct sg_hash *h)
{
    struct budget *set = a->budgets[(h->b[KEY_BYTES] << 8 | h->b[KEY_BYTES + 1]) % SETS];
    int i;

    for (i = 0; i < WAYS; i++)
        if (memcmp(set[i].key, h->b, KEY_BYTES) == 0)
            return &set[i];
    return NULL;
}

/* How much would be lost by forgetting it. */
static uint64_t
worth(const struct budget *b, uint64_t now)
{
    return b->known_until_ns > now ? UINT64_MAX / 2 + b->known_until_ns / 4
                                   : (b->full_ns > now ? b->full_ns : 0);
}

static struct budget *
find_or_make(struct sg_attempts *a, const struct sg_hash *h, uint64_t now)
{
    struct budget *set = a->budgets[(h->b[KEY_BYTES] << 8 | h->b[KEY_BYTES + 1]) % SETS];
    struct budget *b = find(a, h), *least = &set[0];
    int i;

    if (b != NULL)
        return b;
    for (i = 1; i < WAYS; i++)
        if (worth(&set[i], now) < worth(least, now))
            least = &set[i];
    *least = (struct budget){.full_ns = 0};
    memcpy(least->key, h->b, KEY_BYTES);
    return least;
}

/* ns until one try may be had. */
static uint64_t
wait_ns(const struct budget *b, uint64_t price, uint64_t window, uint64_t now)
{
    uint64_t from = b != NULL && b->full_ns > now ? b->full_ns : now;

    return from + price > now + window ? from + price - now - window : 0;
}

int64_t
sg_attempts_take(struct sg_attempts *a, struct sg_attempt *t, uint64_t now)
{
    uint64_t window = (uint64_t)t->limits.window_ms * SG_NS_PER_MS, wait = 0, w;
    struct sg_hash keys[N_KINDS];
    const struct budget *pair;
    struct budget *b;
    int kind;

    for (kind = 0; kind < N_KINDS; kind++)
        keys[kind] = key_of(a, t, kind);
    uv_mutex_lock(&a->lock);
    pair = find(a, &keys[PAIR]);
    t->login_paid = pair == NULL || pair->known_until_ns <= now;
    for (kind = 0; kind < N_KINDS; kind++) {
        if (kind == LOGIN && !t->login_paid)
            continue;
        w = wait_ns(find(a, &keys[kind]), price_ns(&t->limits, kind), window, now);
        wait = w > wait ? w : wait;
    }
    for (kind = 0; kind < N_KINDS && wait == 0; kind++) {
        if (kind == LOGIN && !t->login_paid)
            continue;
        b = find_or_make(a, &keys[kind], now);
        b->full_ns = (b->full_ns > now ? b->full_ns : now) + price_ns(&t->limits, kind);
    }
    uv_mutex_unlock(&a->lock);
    return (int64_t)((wait + SG_NS_PER_MS - 1) / SG_NS_PER_MS);
}

void
sg_attempts_give_back(struct sg_attempts *a, const struct sg_attempt *t, bool succeeded,
                      uint64_t now)
{
    struct sg_hash key;
    struct budget *b;
    int kind;

    uv_mutex_lock(&a->lock);
    for (kind = 0; kind < N_KINDS; kind++) {
        if (kind == LOGIN && !t->login_paid)
            continue;
        key = key_of(a, t, kind);
        if ((b = find(a, &key)) != NULL && b->full_ns > price_ns(&t->limits, kind))
            b->full_ns -= price_ns(&t->limits, kind);
    }
    if (succeeded) {
        key = key_of(a, t, PAIR);
        find_or_make(a, &key, now)->known_until_ns = now + REMEMBER_NS;
    }
    uv_mutex_unlock(&a->lock);
}

int
sg_attempts_address(const char *text, uint8_t out[SG_ATTEMPTS_ADDRESS_BYTES])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    const char *comma = strrchr(text, ',');
    uint8_t v6[16] = {0};

    text = comma != NULL ? comma + 1 : text;
    while (*text == ' ')
        text++;
    if (inet_pton(AF_INET, text, v6 + 12) == 1)
        memcpy(v6, mapped, sizeof mapped);
    else if (inet_pton(AF_INET6, text, v6) != 1)
        return -1;
    else if (memcmp(v6, mapped, sizeof mapped) != 0)
        memset(v6 + 8, 0, 8); /* a customer has the lower half to himself */
    memcpy(out, v6, sizeof v6);
    return 0;
}
