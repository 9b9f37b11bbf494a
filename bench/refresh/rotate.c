/* SPDX-License-Identifier: MIT */
#include "store/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Rotates the refresh tokens that bench/refresh.mjs has laid out, as fast as it goes:
 *   rotate OUTSTANDING CONNECTIONS SECONDS TOKENS ROUND CONNINFO...
 * OUTSTANDING 'n' is one store that has n rotations waiting at any time; 's<n>' is n stores with
 * one each, so that none ever shares a transaction. Prints "rotations seconds cpu_seconds". */
struct worker {
    struct sg_store *store;
    struct sg_rotate rotate;
    int64_t token, step, round;
};

static uint64_t deadline_ns, rotations;
static int64_t tokens;
static int running;
static const char sealed[] =
    "as long as a sealed successor is, which is about a hundred bytes in all";

static void
set_digest(uint8_t out[SG_DIGEST_BYTES], int64_t token, int64_t round)
{
    int i;

    memset(out, 0, SG_DIGEST_BYTES);
    for (i = 0; i < 8; i++) {
        out[15 - i] = (uint8_t)(round >> 8 * i);
        out[31 - i] = (uint8_t)(token >> 8 * i);
    }
}

static void next(struct worker *w);

static void
rotated(void *ctx, int rc, const struct sg_err *err)
{
    struct worker *w = ctx;

    if (rc != 0 || w->rotate.outcome != SG_ROTATED) {
        fprintf(stderr, "token %" PRId64 ": outcome %d, %s\n", w->token, (int)w->rotate.outcome,
                rc != 0 ? err->text : "");
        exit(1);
    }
    sg_buf_free(&w->rotate.successor_sealed);
    rotations++;
    w->token += w->step;
    if (w->token >= tokens) {
        w->token %= w->step;
        w->round++;
    }
    if (sg_mono_ns(sg_clock_system()) < deadline_ns)
        next(w);
    else
        running--;
}

static void
next(struct worker *w)
{
    w->rotate = (struct sg_rotate){.realm = "bench",
                                   .bucket = (int)(w->token % SG_BUCKETS),
                                   .client_id = "web",
                                   .next_sealed = sg_slice(sealed, sizeof sealed - 1),
                                   .grace_ms = 30000,
                                   .lifetime_ms = 86400000};
    set_digest(w->rotate.digest, w->token, w->round);
    set_digest(w->rotate.next_digest, w->token, w->round + 1);
    sg_store_rotate(w->store, &w->rotate, sg_mono_ns(sg_clock_system()) + 20000 * SG_NS_PER_MS,
                    rotated, w);
}

static double
cpu_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int
main(int argc, char **argv)
{
    bool alone = argc > 6 && argv[1][0] == 's';
    int n = argc > 6 ? atoi(argv[1] + alone) : 0, i;
    struct sg_shards_options options = {.conninfos = (const char *const *)argv + 6,
                                        .n = argc - 6,
                                        .connections = argc > 6 ? atoi(argv[2]) : 0,
                                        .max_queued = 4096};
    struct sg_shards *shards;
    struct worker *workers;
    struct sg_store *store = NULL;
    struct sg_err err;
    uint64_t began;
    uv_loop_t loop;

    if (n < 1 || uv_loop_init(&loop) != 0 ||
        sg_shards_open(&loop, sg_clock_system(), &options, &shards, &err) != 0)
        return 2;
    tokens = atoll(argv[4]);
    workers = calloc((size_t)n, sizeof *workers);
    began = sg_mono_ns(sg_clock_system());
    deadline_ns = began + (uint64_t)(atof(argv[3]) * 1e9);
    for (i = 0; i < n; i++) {
        if ((store == NULL || alone) &&
            sg_store_new(&loop, sg_clock_system(), shards, &store, &err) != 0)
            return 2;
        workers[i] =
            (struct worker){.store = store, .token = i, .step = n, .round = atoll(argv[5])};
        running++;
        next(&workers[i]);
    }
    while (running > 0)
        uv_run(&loop, UV_RUN_ONCE);
    printf("%" PRIu64 " %.3f %.3f\n", rotations,
           (double)(sg_mono_ns(sg_clock_system()) - began) / 1e9, cpu_seconds());
    return 0;
}
