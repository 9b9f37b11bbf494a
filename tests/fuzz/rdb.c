/* SPDX-License-Identifier: MIT */
/* A dump, and then a replication stream: never crashes, never gives a slice it does not own. The
 * first byte says how many bytes come at a time, so that every seam is tried. */
#include "redis/rdb.h"
#include "fuzz/fuzz.h"
#include "redis/effects.h"

#include <stdlib.h>

struct input {
    const uint8_t *at;
    size_t left, each;
};

static int64_t
more(void *ctx, char *into, size_t cap, struct sg_err *err)
{
    struct input *in = ctx;
    size_t n = in->left < in->each ? in->left : in->each;

    if (n > cap)
        n = cap;
    if (n == 0)
        return sg_fail(err, SG_E_UNAVAILABLE, "fuzz", "the end");
    memcpy(into, in->at, n);
    in->at += n;
    in->left -= n;
    return (int64_t)n;
}

static int
on_record(void *ctx, const struct sg_rdb_record *r, struct sg_err *err)
{
    (void)ctx, (void)err;
    if (r->key.len > SG_RDB_KEY_MAX || r->value.len > 4096 || (r->too_large && r->value.len > 0))
        abort();
    fuzz_use(fuzz_touch(r->key.ptr, r->key.len) + fuzz_touch(r->value.ptr, r->value.len));
    return 0;
}

static int
on_effect(void *ctx, const struct sg_effect_told *t, struct sg_err *err)
{
    (void)ctx, (void)err;
    fuzz_use(fuzz_touch(t->key.ptr, t->key.len) + fuzz_touch(t->value.ptr, t->value.len) +
             fuzz_touch(t->other.ptr, t->other.len));
    return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size, 1};
    struct sg_pull pull = {.more = more, .ctx = &in, .name = "fuzz"};
    static struct sg_command command;
    struct sg_err err;
    int database = 0;

    if (size > 0) {
        in.each = data[0] + 1u;
        in.at++;
        in.left--;
    }
    if (sg_pull_init(&pull, 16384, &err) != 0)
        return 0;
    sg_command_init(&command, 8192);
    if (in.left > 0 && in.at[0] == 'R' && sg_rdb_read(&pull, 4096, on_record, NULL, &err) != 0)
        in.left = 0;
    while (sg_command_read(&pull, 4096, &command, &err) == 0)
        if (sg_command_effects(&command, &database, on_effect, NULL, &err) != 0)
            break;
    sg_command_free(&command);
    sg_pull_free(&pull);
    return 0;
}
