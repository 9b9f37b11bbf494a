/* SPDX-License-Identifier: MIT */
/* The codec and the "redis" store from a command line, for system tests in other languages. Prints
 * one JSON object a line. LEGACY_URL says where, LEGACY_SECRETS what signs (one a line).
 *
 *   create SUBJECT IDLE_MS   read CREDENTIAL   touch CREDENTIAL TTL_MS   end CREDENTIAL
 *   cookie KEY   scan   follow (until killed) */
#include "legacy/legacy.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static uv_loop_t *loop;
static struct sg_legacy_store *store;
static const struct sg_codec *codec;
static struct sg_codec_config cfg;
static const char *secrets[9];

static void
print(json_t *v)
{
    json_dumpf(v, stdout, JSON_COMPACT);
    putchar('\n');
    fflush(stdout);
    json_decref(v);
}

static void
die(const struct sg_err *err)
{
    print(json_pack("{s:s,s:s,s:s}", "error", sg_code_name(err->code), "place", err->place, "text",
                    err->text));
    _exit(1); /* what is open stays open */
}

static void
split_secrets(char *text)
{
    size_t n = 0;
    char *one;

    for (one = strtok(text, "\n"); one != NULL && n < 8; one = strtok(NULL, "\n"))
        secrets[n++] = one;
}

static const char *
env(const char *name, const char *fallback)
{
    const char *v = getenv(name);

    return v != NULL ? v : fallback;
}

static void
open_store(void)
{
    const struct sg_legacy_store_options options = {.url = env("LEGACY_URL", ""),
                                                    .realm = "web",
                                                    .key_prefix = cfg.key_prefix,
                                                    .timeout_ms = 2000};
    struct sg_err err;

    if (sg_legacy_store_find("redis")->open(loop, sg_clock_system(), &options, &store, &err) != 0)
        die(&err);
}

static void
request_done(struct sg_legacy_request *q)
{
    uv_stop(loop);
}

static uint64_t
deadline(void)
{
    return sg_mono_ns(sg_clock_system()) + 5000 * SG_NS_PER_MS;
}

static void
ask(struct sg_legacy_request *q, enum sg_legacy_op op, struct sg_slice key)
{
    q->op = op;
    snprintf(q->key, sizeof q->key, "%.*s", (int)key.len, key.ptr);
    q->deadline_ns = deadline();
    q->done = request_done;
    store->type->submit(store, q);
    uv_run(loop, UV_RUN_DEFAULT);
    if (q->rc != 0)
        die(&q->err);
}

static void
cmd_create(const char *subject, const char *idle_ms)
{
    struct sg_buf key = SG_BUF_INIT(SG_LEGACY_KEY_MAX), value = SG_BUF_INIT(4096);
    struct sg_buf cookie = SG_BUF_INIT(1024);
    struct sg_legacy_request q = {.ttl_ms = strtoll(idle_ms, NULL, 10)};
    struct sg_err err;

    if (codec->create(&cfg, subject, sg_wall_ms(sg_clock_system()), q.ttl_ms, &key, &value, &err) !=
            0 ||
        codec->key_to_credential(&cfg, sg_buf_slice(&key), &cookie, &err) != 0)
        die(&err);
    if (q.ttl_ms == 0)
        q.ttl_ms = cfg.default_idle_ms;
    q.value = sg_buf_slice(&value);
    ask(&q, SG_LEGACY_CREATE, sg_buf_slice(&key));
    print(json_pack("{s:s,s:s,s:s,s:b}", "key", key.ptr, "cookie", cookie.ptr, "value", value.ptr,
                    "found", q.found));
    sg_buf_free(&key);
    sg_buf_free(&value);
    sg_buf_free(&cookie);
}

static void
cmd_by_credential(enum sg_legacy_op op, const char *credential, const char *ttl_ms)
{
    struct sg_buf key = SG_BUF_INIT(SG_LEGACY_KEY_MAX);
    struct sg_legacy_request q = {.ttl_ms = ttl_ms != NULL ? strtoll(ttl_ms, NULL, 10) : 0};
    struct sg_legacy_record record = {.subject = ""};
    struct sg_err err;

    if (codec->credential_to_key(&cfg, sg_str(credential), &key, &err) != 0)
        die(&err);
    ask(&q, op, sg_buf_slice(&key));
    if (op == SG_LEGACY_READ && q.found &&
        codec->decode(&cfg, sg_buf_slice(&q.read_value), &record, &err) != 0)
        die(&err);
    print(json_pack("{s:s,s:b,s:s,s:I,s:I,s:s}", "key", key.ptr, "found", q.found, "subject",
                    record.subject, "idle_ms", (json_int_t)record.idle_ms, "ttl_ms",
                    (json_int_t)q.read_ttl_ms, "run_id", q.proof.run_id));
    sg_legacy_request_clear(&q);
    sg_buf_free(&key);
}

static void
cmd_cookie(const char *key)
{
    struct sg_buf cookie = SG_BUF_INIT(1024);
    struct sg_err err;

    if (codec->key_to_credential(&cfg, sg_str(key), &cookie, &err) != 0)
        die(&err);
    print(json_pack("{s:s}", "cookie", cookie.ptr));
    sg_buf_free(&cookie);
}

static void
scan_done(struct sg_legacy_scan *scan)
{
    uv_stop(loop);
}

static void
cmd_scan(void)
{
    struct sg_legacy_scan scan = {.cursor = "0", .page_keys = 100, .done = scan_done};
    struct sg_legacy_record record;
    struct sg_err err;
    int i;

    do {
        scan.deadline_ns = deadline();
        store->type->scan(store, &scan);
        uv_run(loop, UV_RUN_DEFAULT);
        if (scan.rc != 0)
            die(&scan.err);
        for (i = 0; i < scan.n_items; i++) {
            const struct sg_legacy_item *it = &scan.items[i];
            bool decodes =
                it->value.ptr != NULL && codec->decode(&cfg, it->value, &record, &err) == 0;

            print(json_pack("{s:s%,s:b,s:s,s:I}", "key", it->key.ptr, it->key.len, "decodes",
                            decodes, "subject", decodes ? record.subject : "", "ttl_ms",
                            (json_int_t)it->ttl_ms));
        }
        sg_legacy_scan_clear(&scan);
    } while (strcmp(scan.cursor, "0") != 0);
}

static void
on_up(void *ctx, const char *run_id)
{
    print(json_pack("{s:s,s:s}", "event", "UP", "run_id", run_id));
}

static void
on_down(void *ctx, const struct sg_err *err)
{
    print(json_pack("{s:s,s:s}", "event", "DOWN", "text", err->text));
}

static void
on_change(void *ctx, enum sg_legacy_change change, struct sg_slice key)
{
    static const char *const names[] = {"SET",          "DELETED",    "EXPIRED",  "EVICTED",
                                        "RENAMED_FROM", "RENAMED_TO", "HEARTBEAT"};

    print(json_pack("{s:s,s:s%}", "event", names[change], "key", key.ptr, key.len));
}

static void
cmd_follow(void)
{
    const struct sg_legacy_follow_events events = {
        .up = on_up, .change = on_change, .down = on_down};
    struct sg_legacy_follower *f;
    struct sg_err err;

    if (store->type->follow(store, &events, &f, &err) != 0)
        die(&err);
    uv_run(loop, UV_RUN_DEFAULT);
}

int
main(int argc, char **argv)
{
    const char *command = argc > 1 ? argv[1] : "";
    char *text = strdup(env("LEGACY_SECRETS", "keyboard cat"));

    split_secrets(text);
    cfg = (struct sg_codec_config){.secrets = secrets,
                                   .key_prefix = "sess:",
                                   .cookie_name = "connect.sid",
                                   .default_idle_ms = 86400000,
                                   .subject_path = env("LEGACY_SUBJECT_PATH", "passport.user")};
    codec = sg_codec_find("express-session");
    loop = uv_default_loop();
    open_store();
    if (strcmp(command, "create") == 0 && argc == 4)
        cmd_create(argv[2], argv[3]);
    else if (strcmp(command, "read") == 0 && argc == 3)
        cmd_by_credential(SG_LEGACY_READ, argv[2], NULL);
    else if (strcmp(command, "touch") == 0 && argc == 4)
        cmd_by_credential(SG_LEGACY_TOUCH, argv[2], argv[3]);
    else if (strcmp(command, "end") == 0 && argc == 3)
        cmd_by_credential(SG_LEGACY_END, argv[2], NULL);
    else if (strcmp(command, "cookie") == 0 && argc == 3)
        cmd_cookie(argv[2]);
    else if (strcmp(command, "scan") == 0)
        cmd_scan();
    else if (strcmp(command, "follow") == 0)
        cmd_follow();
    else {
        fprintf(stderr, "usage: see the head of legacy_tool.c\n");
        return 2;
    }
    store->type->close(store, NULL, NULL);
    uv_run(loop, UV_RUN_DEFAULT);
    uv_loop_close(loop);
    free(text);
    return 0;
}
