/* SPDX-License-Identifier: MIT */
#include "base/encode.h"
#include "store/sealed.h"
#include "store/survey.h"
#include "transfer.h"
#include "transfer/load.h"
#include "transfer/record.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TIMEOUT_MS 30000
#define PAGE 200
#define DIGEST_SHOWN 8 /* bytes: enough to tell rows apart */

struct retry {
    struct transfer_once *once;
    int64_t tried, stored, still, kept_no_value;
};

/* ---- list ---- */

static void
print_reject(const struct sg_reject_read *r, bool json)
{
    char digest[2 * DIGEST_SHOWN + 1], when[32];
    time_t at = (time_t)(r->at_ms / 1000);
    struct tm tm;

    sg_hex(r->key_digest, DIGEST_SHOWN, digest);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&at, &tm));
    if (json) {
        json_t *o =
            json_pack("{s:s, s:s, s:s, s:s, s:b}", "key_digest", digest, "reason", r->reason,
                      "place", r->place, "at", when, "value_kept", r->value_sealed.len > 0);
        char *text = json_dumps(o, JSON_COMPACT);

        puts(text != NULL ? text : "{}");
        free(text);
        json_decref(o);
    } else {
        printf("%s  %s  %-14s %s\n", digest, when, r->reason, r->place);
    }
}

/* ---- retry ---- */

static void
on_loaded(void *ctx, struct sg_load *load)
{
    struct retry *retry = ctx;
    struct sg_load_counts c = sg_load_counted(load);
    struct sg_err err;
    int rc = sg_load_result(load, &err);

    if (rc == 0) {
        retry->stored += c.stored + c.refused;
        retry->still += c.rejected;
    }
    transfer_once_done(retry->once, rc, &err);
}

/* Adds the reject's record to the load, from its sealed bytes. */
static int
add_record(struct retry *retry, struct sg_load *load, const struct sg_reject_read *r,
           struct sg_err *err)
{
    const struct sg_bridge *b = retry->once->bridge;
    struct sg_buf key = SG_BUF_INIT(SG_SEAL_PLAIN_MAX), value = SG_BUF_INIT(SG_LEGACY_VALUE_MAX);
    int rc = sg_open_reject_key(b->ring, b->realm, r->key_digest, sg_buf_slice(&r->key_sealed),
                                &key, err);

    if (rc == 0)
        rc = sg_open_reject_value(b->ring, b->realm, r->key_digest, sg_buf_slice(&r->value_sealed),
                                  &value, err);
    /* How long it lives on is the source's to say, at the next scan. */
    if (rc == 0)
        rc = sg_load_add(load, sg_buf_slice(&key), sg_buf_slice(&value), -1, NULL, err);
    sg_buf_wipe(&key);
    sg_buf_wipe(&value);
    return rc;
}

static int
retry_page(struct retry *retry, const struct sg_rejects_poll *poll, struct sg_err *err)
{
    const struct sg_load_options options = {
        .chunk = -1, .timeout_ms = TIMEOUT_MS, .done = on_loaded, .ctx = retry};
    struct sg_load *load;
    int i, rc = 0;

    if (sg_load_new(retry->once->bridge, PAGE, &load, err) != 0)
        return -1;
    for (i = 0; i < poll->n_rows && rc == 0; i++) {
        if (poll->rows[i].value_sealed.len == 0) {
            retry->kept_no_value++;
            continue;
        }
        retry->tried++;
        rc = add_record(retry, load, &poll->rows[i], err);
    }
    if (rc == 0 && sg_load_count(load) > 0) {
        sg_load_start(load, &options);
        rc = transfer_once_wait(retry->once, err);
    }
    sg_load_free(load);
    return rc;
}

/* ---- both ---- */

static int
walk_shard(struct retry *retry, int shard, bool list, bool json, struct sg_err *err)
{
    const struct sg_bridge *b = retry->once->bridge;
    struct sg_rejects_poll poll = {
        .shard = shard, .realm = b->realm, .after_bucket = -1, .limit = PAGE};
    int i, n, rc;

    do {
        sg_store_poll_rejects(b->store, &poll, sg_bridge_deadline(b, TIMEOUT_MS),
                              transfer_once_done, retry->once);
        rc = transfer_once_wait(retry->once, err);
        n = poll.n_rows;
        for (i = 0; i < n && rc == 0 && list; i++)
            print_reject(&poll.rows[i], json);
        if (rc == 0 && !list)
            rc = retry_page(retry, &poll, err);
        sg_rejects_clear(&poll);
    } while (rc == 0 && n == PAGE);
    return rc;
}

static void
print_retry(const struct retry *r, bool json)
{
    if (json)
        printf("{\"tried\":%" PRId64 ",\"stored\":%" PRId64 ",\"still_rejected\":%" PRId64
               ",\"value_not_kept\":%" PRId64 "}\n",
               r->tried, r->stored, r->still, r->kept_no_value);
    else
        printf("%" PRId64 " tried: %" PRId64 " stored, %" PRId64 " still rejected; %" PRId64
               " more have no bytes kept and wait for a scan\n",
               r->tried, r->stored, r->still, r->kept_no_value);
}

int
transfer_rejects(int argc, char **argv)
{
    const char *path = "segue.yaml", *realm = NULL;
    bool json = false, list;
    const struct cli_option options[] = {
        {"config", "FILE", "configuration (default segue.yaml)", .text = &path},
        {"realm", "NAME", "realm (default: the only one)", .text = &realm},
        {"json", NULL, "JSON lines", .flag = &json},
    };
    const struct cli_usage usage = {
        .name = "transfer rejects",
        .operands = "[list|retry]",
        .summary = "Lists the records that could not be stored, or decodes their sealed bytes "
                   "again and stores what decodes now.",
        .options = options,
        .n_options = sizeof options / sizeof options[0],
        .most_operands = 1,
        .examples = "  segue transfer rejects --realm main\n"
                    "  segue transfer rejects retry --realm main\n",
    };
    struct transfer_setup setup;
    struct transfer_once once;
    struct retry retry = {.once = &once};
    struct sg_err err;
    int n, code, shard, rc = 0;

    if (!cli_parse(&usage, argc, argv, &n, &code))
        return code;
    list = n == 0 || strcmp(argv[1], "list") == 0;
    if (!list && strcmp(argv[1], "retry") != 0)
        return cli_usage_error(&usage, "expected list or retry, got '%s'", argv[1]);
    if ((code = transfer_setup(&usage, path, realm, &setup)) != 0)
        return code;
    if (transfer_once_open(&setup, &once, &err) != 0) {
        code = cli_fail(&usage, &err);
    } else {
        for (shard = 0; shard < setup.config->n_shards && rc == 0; shard++)
            rc = walk_shard(&retry, shard, list, json, &err);
        if (rc != 0)
            code = cli_fail(&usage, &err);
        else if (!list)
            print_retry(&retry, json);
        transfer_once_close(&once);
    }
    transfer_setup_free(&setup);
    return code;
}
