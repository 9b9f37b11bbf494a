/* SPDX-License-Identifier: MIT */
#include "event/http.h"
#include "transfer.h"
#include "transfer/metrics.h"
#include "transfer/transfer.h"

#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TERMINAL_MS 1000
#define PIPE_MS 2000

struct run {
    uv_loop_t loop;
    struct sg_transfer *transfer;
    struct sg_http *http;
    uv_signal_t term, interrupt;
    uv_timer_t progress;
    const char *realm;
    bool json, terminal, line_open;
    int64_t last_read;
    uint64_t last_ns;
    int rc;
    struct sg_err err;
};

/* ---- what is told ---- */

static void
end_line(struct run *r)
{
    if (r->line_open)
        fputs("\r\033[K", stdout);
    r->line_open = false;
    fflush(stdout);
}

static void
on_note(void *ctx, enum sg_level level, const char *text, const struct sg_err *err)
{
    struct run *r = ctx;

    end_line(r);
    if (err != NULL)
        sg_log_err(level, text, NULL, err);
    else
        sg_log(level, text, "realm", r->realm, NULL);
}

static void
print_json(const struct sg_transfer_stats *s, double rate)
{
    json_t *line = json_pack(
        "{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:I, s:I, s:I, s:I, s:I, s:b, s:s, s:I, s:I}",
        "phase", sg_transfer_phase_name(s->phase), "job", (json_int_t)s->job, "read",
        (json_int_t)s->scan.read, "stored", (json_int_t)s->scan.stored, "anonymous",
        (json_int_t)s->scan.anonymous, "rejected", (json_int_t)s->scan.rejected, "refused",
        (json_int_t)s->scan.refused, "rate", rate, "changes", (json_int_t)s->follow.changes,
        "ended", (json_int_t)s->follow.ended, "queued", (json_int_t)s->queued, "outbox",
        (json_int_t)s->drain.waiting, "lag_ms", (json_int_t)s->lag_ms, "continuity", s->proven,
        "reason", s->reason, "held", (json_int_t)s->held_absent, "subjects",
        (json_int_t)s->subjects);
    char *text = json_dumps(line, JSON_COMPACT);

    puts(text != NULL ? text : "{}");
    free(text);
    json_decref(line);
}

static void
print_line(struct run *r, const struct sg_transfer_stats *s, double rate)
{
    if (r->terminal)
        fputs("\r\033[K", stdout);
    printf("%s: %" PRId64 " read (%.0f/s), %" PRId64 " stored, %" PRId64 " anonymous, %" PRId64
           " rejected · %" PRId64 " changes, %d queued, lag %" PRId64 " ms · outbox %d · %s",
           sg_transfer_phase_name(s->phase), s->scan.read, rate, s->scan.stored, s->scan.anonymous,
           s->scan.rejected, s->follow.changes, s->queued, s->lag_ms, s->drain.waiting,
           s->proven ? "continuity proven" : "continuity not proven");
    if (r->terminal)
        r->line_open = true;
    else
        putchar('\n');
}

static void
on_progress(uv_timer_t *timer)
{
    struct run *r = timer->data;
    struct sg_transfer_stats s;
    uint64_t now = uv_hrtime();
    double seconds = (double)(now - r->last_ns) / 1e9, rate;

    sg_transfer_get_stats(r->transfer, &s);
    rate = s.scan.read > r->last_read ? (double)(s.scan.read - r->last_read) / seconds : 0;
    r->last_read = s.scan.read;
    r->last_ns = now;
    if (r->json)
        print_json(&s, rate);
    else
        print_line(r, &s, rate);
    fflush(stdout);
}

/* ---- metrics ---- */

static void
on_request(void *ctx, struct sg_http_request *request)
{
    struct run *r = ctx;
    struct sg_transfer_stats s;
    struct sg_buf text = SG_BUF_INIT(16384);

    if (strcmp(sg_http_path(request), "/metrics") != 0 || r->transfer == NULL) {
        sg_http_answer(request, 404, sg_str(""));
        return;
    }
    sg_transfer_get_stats(r->transfer, &s);
    sg_transfer_metrics(&s, r->realm, &text);
    sg_http_add_header(request, "Content-Type", sg_str("text/plain; version=0.0.4"));
    sg_http_answer(request, 200, sg_buf_slice(&text));
    sg_buf_free(&text);
}

static int
open_metrics(struct run *r, const char *address, struct sg_err *err)
{
    const struct sg_http_options options = {
        .address = address,
        .max_connections = 16,
        .max_body_bytes = 1024,
        .memory_bytes = 8192,
        .idle_timeout_ms = 10000,
        .header_deadline_ms = 5000,
        .handler = on_request,
        .ctx = r,
    };

    return sg_http_open(&r->loop, sg_clock_system(), &options, &r->http, err);
}

/* ---- life ---- */

static void
on_stopped(void *ctx, int rc, const struct sg_err *err)
{
    struct run *r = ctx;

    r->transfer = NULL;
    r->rc = rc;
    if (rc != 0)
        r->err = *err;
    uv_close((uv_handle_t *)&r->term, NULL);
    uv_close((uv_handle_t *)&r->interrupt, NULL);
    uv_close((uv_handle_t *)&r->progress, NULL);
    if (r->http != NULL)
        sg_http_drain(r->http, uv_hrtime(), NULL, NULL);
}

static void
on_signal(uv_signal_t *signal, int number)
{
    struct run *r = signal->data;

    (void)number;
    if (r->transfer != NULL)
        sg_transfer_stop(r->transfer);
}

static int
run(const struct cli_usage *usage, const struct transfer_setup *setup,
    struct sg_transfer_options *options, const char *metrics, bool json)
{
    struct run r = {.realm = setup->realm->name, .json = json, .terminal = isatty(1) && !json};
    struct sg_err err;

    signal(SIGPIPE, SIG_IGN);
    uv_loop_init(&r.loop);
    options->bridge.loop = &r.loop;
    options->note = on_note;
    options->stopped = on_stopped;
    options->ctx = &r;
    if ((metrics != NULL && open_metrics(&r, metrics, &err) != 0) ||
        sg_transfer_start(options, &r.transfer, &err) != 0) {
        if (r.http != NULL)
            sg_http_drain(r.http, uv_hrtime(), NULL, NULL);
        uv_run(&r.loop, UV_RUN_DEFAULT);
        return cli_fail(usage, &err);
    }
    r.term.data = r.interrupt.data = r.progress.data = &r;
    uv_signal_init(&r.loop, &r.term);
    uv_signal_init(&r.loop, &r.interrupt);
    uv_signal_start(&r.term, on_signal, SIGTERM);
    uv_signal_start(&r.interrupt, on_signal, SIGINT);
    uv_timer_init(&r.loop, &r.progress);
    r.last_ns = uv_hrtime();
    uv_timer_start(&r.progress, on_progress, r.terminal ? TERMINAL_MS : PIPE_MS,
                   r.terminal ? TERMINAL_MS : PIPE_MS);
    uv_run(&r.loop, UV_RUN_DEFAULT);
    uv_loop_close(&r.loop);
    end_line(&r);
    return r.rc == 0 ? 0 : cli_fail(usage, &r.err);
}

int
transfer_run(int argc, char **argv)
{
    const char *path = "segue.yaml", *realm = NULL, *metrics = NULL;
    int64_t page_keys = 500, reconcile_s = 600;
    bool json = false, no_bulk = false;
    const struct cli_option options[] = {
        {"config", "FILE", "configuration (default segue.yaml)", .text = &path},
        {"realm", "NAME", "realm (default: the only one)", .text = &realm},
        {"no-bulk", NULL,
         "never lock the shards: scan page by page although they hold no session yet",
         .flag = &no_bulk},
        {"page-keys", "N", "keys read at a time (default 500)", .number = &page_keys, .least = 1,
         .most = 1000},
        {"reconcile", "SECONDS", "between reconciling passes (default 600)", .number = &reconcile_s,
         .least = 1, .most = 86400},
        {"metrics", "ADDRESS", "answer GET /metrics there (127.0.0.1:9100, unix:/path)",
         .text = &metrics},
        {"json", NULL, "progress as JSON lines", .flag = &json},
    };
    const struct cli_usage usage = {
        .name = "transfer run",
        .summary = "Takes the snapshot, then follows the legacy store until stopped.",
        .details = "Goes on where it was interrupted. A second process of the same realm waits for "
                   "the first to end.\nProgress goes to stdout, log lines (JSON) to stderr.\n",
        .options = options,
        .n_options = sizeof options / sizeof options[0],
        .examples = "  segue transfer run --config segue.yaml --realm main\n"
                    "  segue transfer run --metrics 127.0.0.1:9100 --json\n",
    };
    struct transfer_setup setup;
    struct sg_transfer_options transfer;
    int n, code;

    if (!cli_parse(&usage, argc, argv, &n, &code))
        return code;
    if ((code = transfer_setup(&usage, path, realm, &setup)) != 0)
        return code;
    transfer = (struct sg_transfer_options){
        .bridge = {.clock = sg_clock_system(),
                   .config = setup.config,
                   .realm = setup.realm,
                   .ring = setup.ring},
        .bulk = !no_bulk,
        .page_keys = (int)page_keys,
        .reconcile_ms = reconcile_s * 1000,
    };
    code = run(&usage, &setup, &transfer, metrics, json);
    transfer_setup_free(&setup);
    return code;
}
