/* SPDX-License-Identifier: MIT */
#include "control.h"
#include "store/sealed.h"
#include "store/survey.h"
#include "transfer.h"
#include "transfer/load.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_MS 30000
#define PAGE 200

struct resolve {
    struct transfer_once *once;
    bool end;
    int64_t ended, restored, there_already, expired;
};

/* ---- end ---- */

static int
end_page(struct resolve *v, const struct sg_held_poll *poll, struct sg_err *err)
{
    const struct sg_bridge *b = v->once->bridge;
    struct sg_end_row rows[PAGE] = {0};
    int i;

    for (i = 0; i < poll->n_rows; i++) {
        const struct sg_held_read *h = &poll->rows[i];

        rows[i].realm = b->realm;
        rows[i].has_digest = rows[i].has_sid = true;
        rows[i].digest_bucket = sg_bridge_bucket_of_digest(b, h->store_digest);
        memcpy(rows[i].digest, h->store_digest, sizeof rows[i].digest);
        rows[i].sid_bucket = h->bucket;
        memcpy(rows[i].sid, h->sid, sizeof rows[i].sid);
        rows[i].subject = h->subject;
        rows[i].reason = "absent";
        rows[i].mirror = rows[i].tombstone_ref = true;
    }
    sg_store_end_sessions(b->store, rows, poll->n_rows, sg_bridge_deadline(b, TIMEOUT_MS),
                          transfer_once_done, v->once);
    if (transfer_once_wait(v->once, err) != 0)
        return -1;
    for (i = 0; i < poll->n_rows; i++)
        v->ended += rows[i].changed;
    return 0;
}

/* ---- restore ---- */

struct create {
    struct sg_legacy_request request;
    struct transfer_once *once;
};

static void
on_created(struct sg_legacy_request *request)
{
    struct create *c = sg_container_of(request, struct create, request);

    transfer_once_done(c->once, request->rc, &request->err);
}

static void
on_loaded(void *ctx, struct sg_load *load)
{
    struct resolve *v = ctx;
    struct sg_err err;
    int rc = sg_load_result(load, &err);

    transfer_once_done(v->once, rc, &err);
}

/* The record as the store has it now lifts the hold. */
static int
load_record(struct resolve *v, struct sg_slice key, struct sg_slice value, int64_t ttl_ms,
            struct sg_err *err)
{
    const struct sg_load_options options = {
        .chunk = -1, .timeout_ms = TIMEOUT_MS, .done = on_loaded, .ctx = v};
    struct sg_load *load;
    int rc;

    if (sg_load_new(v->once->bridge, 1, &load, err) != 0)
        return -1;
    rc = sg_load_add(load, key, value, ttl_ms, NULL, err);
    if (rc == 0) {
        sg_load_start(load, &options);
        rc = transfer_once_wait(v->once, err);
    }
    sg_load_free(load);
    return rc;
}

static int
restore(struct resolve *v, const struct sg_held_read *h, struct sg_err *err)
{
    const struct sg_bridge *b = v->once->bridge;
    struct sg_buf key = SG_BUF_INIT(SG_LEGACY_KEY_MAX), value = SG_BUF_INIT(SG_LEGACY_VALUE_MAX);
    struct create c = {.once = v->once};
    int rc = -1;

    if (h->expires_in_ms <= 0) {
        v->expired++;
        return 0;
    }
    if (sg_open_handle(b->ring, b->realm, h->sid, sg_buf_slice(&h->handle), &key, err) == 0 &&
        sg_open_record(b->ring, b->realm, h->sid, sg_buf_slice(&h->record), &value, err) == 0) {
        memcpy(c.request.key, key.ptr, key.len);
        c.request.op = SG_LEGACY_CREATE;
        c.request.value = sg_buf_slice(&value);
        c.request.ttl_ms =
            h->expires_in_ms < INT64_MAX ? h->expires_in_ms : b->config->legacy.default_idle_ms;
        c.request.deadline_ns = sg_bridge_deadline(b, TIMEOUT_MS);
        c.request.done = on_created;
        b->legacy->type->submit(b->legacy, &c.request);
        rc = transfer_once_wait(v->once, err);
    }
    if (rc == 0 && c.request.found)
        v->there_already++; /* the transfer's next scan takes it as it is */
    else if (rc == 0) {
        rc = load_record(v, sg_buf_slice(&key), sg_buf_slice(&value), c.request.ttl_ms, err);
        v->restored += rc == 0;
    }
    sg_legacy_request_clear(&c.request);
    sg_buf_wipe(&key);
    sg_buf_wipe(&value);
    return rc;
}

/* ---- both ---- */

static int
resolve_shard(struct resolve *v, int shard, struct sg_err *err)
{
    const struct sg_bridge *b = v->once->bridge;
    struct sg_held_poll poll = {
        .shard = shard, .realm = b->realm, .after_bucket = -1, .limit = PAGE};
    int i, n, rc;

    do {
        sg_store_poll_held(b->store, &poll, sg_bridge_deadline(b, TIMEOUT_MS), transfer_once_done,
                           v->once);
        rc = transfer_once_wait(v->once, err);
        n = poll.n_rows;
        if (rc == 0 && n > 0 && v->end)
            rc = end_page(v, &poll, err);
        for (i = 0; i < n && rc == 0 && !v->end; i++)
            rc = restore(v, &poll.rows[i], err);
        sg_held_clear(&poll);
    } while (rc == 0 && n == PAGE);
    return rc;
}

/* Written before anything is done, so that no decision goes unrecorded (P8). */
static int
journal(const struct transfer_setup *setup, bool end, const char *why, struct sg_err *err)
{
    const struct control_entry entry = {
        .realm = setup->realm->name,
        .action = "transfer.resolve",
        .why = why,
        .from = "{\"sessions\":\"held\"}",
        .to = end ? "{\"sessions\":\"ended\"}" : "{\"sessions\":\"restored\"}",
    };
    struct control_db db = {0};
    int rc = control_open(&db, setup->config->control, "control", err);

    if (rc == 0)
        rc = control_begin(&db, err);
    if (rc == 0)
        rc = control_journal(&db, &entry, err);
    if (rc == 0)
        rc = control_commit(&db, err);
    control_close(&db);
    return rc;
}

static int
resolve(const struct cli_usage *usage, const struct transfer_setup *setup, bool end,
        const char *why, bool json)
{
    struct transfer_once once;
    struct resolve v = {.once = &once, .end = end};
    struct sg_err err;
    int shard, rc;

    if (journal(setup, end, why, &err) != 0 || transfer_once_open(setup, &once, &err) != 0)
        return cli_fail(usage, &err);
    for (shard = 0, rc = 0; shard < setup->config->n_shards && rc == 0; shard++)
        rc = resolve_shard(&v, shard, &err);
    transfer_once_close(&once);
    if (json)
        printf("{\"ended\":%" PRId64 ",\"restored\":%" PRId64 ",\"there_already\":%" PRId64
               ",\"expired\":%" PRId64 "}\n",
               v.ended, v.restored, v.there_already, v.expired);
    else
        printf("%" PRId64 " ended, %" PRId64 " restored, %" PRId64 " there already, %" PRId64
               " expired meanwhile\n",
               v.ended, v.restored, v.there_already, v.expired);
    return rc == 0 ? 0 : cli_fail(usage, &err);
}

int
transfer_resolve(int argc, char **argv)
{
    const char *path = "segue.yaml", *realm = NULL, *why = "";
    bool end = false, restored = false, json = false;
    const struct cli_option options[] = {
        {"config", "FILE", "configuration (default segue.yaml)", .text = &path},
        {"realm", "NAME", "realm (default: the only one)", .text = &realm},
        {"end", NULL, "they were logged out: end them on both sides", .flag = &end},
        {"restore", NULL, "the store lost them: create their records again", .flag = &restored},
        {"why", "TEXT", "for the journal", .text = &why},
        {"json", NULL, "one JSON object", .flag = &json},
    };
    const struct cli_usage usage = {
        .name = "transfer resolve",
        .summary = "Decides on sessions that are held because they are gone from the legacy store "
                   "without proof of why.",
        .details = "Journaled. Run it again after an interruption.\n",
        .options = options,
        .n_options = sizeof options / sizeof options[0],
        .examples = "  segue transfer resolve --realm main --restore --why \"redis was flushed\"\n",
    };
    struct transfer_setup setup;
    int n, code;

    if (!cli_parse(&usage, argc, argv, &n, &code))
        return code;
    if (end == restored)
        return cli_usage_error(&usage, "expected one of --end and --restore");
    if ((code = transfer_setup(&usage, path, realm, &setup)) != 0)
        return code;
    code = resolve(&usage, &setup, end, why, json);
    transfer_setup_free(&setup);
    return code;
}
