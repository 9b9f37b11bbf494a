/* SPDX-License-Identifier: MIT */
#include "store/survey.h"
#include "transfer.h"
#include "transfer/control.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_MS 30000

struct report {
    struct sg_control_state control;
    struct sg_survey shards[SG_SHARDS_MAX];
    bool up[SG_SHARDS_MAX];
    char trouble[SG_SHARDS_MAX][sizeof((struct sg_err *)0)->text];
    int n;
    struct sg_survey sum; /* of the shards that answered */
};

static void
on_control(struct sg_control_state *state)
{
    transfer_once_done(state->ctx, state->rc, &state->err);
}

static void
add_reasons(struct sg_survey *sum, const struct sg_survey *s)
{
    int i, k;

    for (i = 0; i < s->n_reasons; i++) {
        for (k = 0; k < sum->n_reasons; k++)
            if (strcmp(sum->reasons[k].reason, s->reasons[i].reason) == 0)
                break;
        if (k == SG_SURVEY_REASONS)
            continue;
        if (k == sum->n_reasons) {
            sum->n_reasons++;
            sum->reasons[k] = s->reasons[i];
        } else {
            sum->reasons[k].n += s->reasons[i].n;
        }
    }
}

static void
add_up(struct report *report)
{
    struct sg_survey *sum = &report->sum;
    int i;

    sum->beat_age_ms = -1;
    for (i = 0; i < report->n; i++) {
        const struct sg_survey *s = &report->shards[i];

        if (!report->up[i])
            continue;
        sum->live += s->live;
        sum->anonymous += s->anonymous;
        sum->held += s->held;
        sum->outbox += s->outbox;
        sum->stored += s->stored;
        sum->rejected += s->rejected;
        sum->stored_anonymous += s->stored_anonymous;
        sum->rejects += s->rejects;
        if (s->beat_age_ms > sum->beat_age_ms)
            sum->beat_age_ms = s->beat_age_ms;
        add_reasons(sum, s);
    }
}

static int
read_report(struct transfer_once *once, struct report *report, struct sg_err *err)
{
    const struct sg_bridge *b = once->bridge;
    int i;

    report->control.done = on_control;
    report->control.ctx = once;
    sg_control_read(b, &report->control);
    if (transfer_once_wait(once, err) != 0)
        return -1;
    report->n = sg_shards_count(b->shards);
    for (i = 0; i < report->n; i++) {
        struct sg_err shard_err;

        report->shards[i] =
            (struct sg_survey){.shard = i, .realm = b->realm, .job = report->control.job.job};
        sg_store_survey(b->store, &report->shards[i], sg_bridge_deadline(b, TIMEOUT_MS),
                        transfer_once_done, once);
        report->up[i] = transfer_once_wait(once, &shard_err) == 0;
        if (!report->up[i])
            memcpy(report->trouble[i], shard_err.text, sizeof report->trouble[i]);
    }
    add_up(report);
    return 0;
}

/* ---- showing it ---- */

static json_t *
shards_json(const struct report *report)
{
    json_t *all = json_array();
    int i;

    for (i = 0; i < report->n; i++) {
        const struct sg_survey *s = &report->shards[i];

        if (report->up[i])
            json_array_append_new(
                all, json_pack("{s:i, s:b, s:I, s:I, s:I, s:I}", "shard", i, "up", 1, "live",
                               (json_int_t)s->live, "held", (json_int_t)s->held, "outbox",
                               (json_int_t)s->outbox, "beat_age_ms", (json_int_t)s->beat_age_ms));
        else
            json_array_append_new(all, json_pack("{s:i, s:b, s:s}", "shard", i, "up", 0, "error",
                                                 report->trouble[i]));
    }
    return all;
}

static void
print_json(const char *realm, const struct report *report)
{
    const struct sg_job *job = &report->control.job;
    const struct sg_continuity_row *c = &report->control.continuity;
    const struct sg_survey *sum = &report->sum;
    json_t *reasons = json_object(), *all;
    char *text;
    int i;

    for (i = 0; i < sum->n_reasons; i++)
        json_object_set_new(reasons, sum->reasons[i].reason, json_integer(sum->reasons[i].n));
    all = json_pack("{s:s, s:{s:I, s:s, s:I}, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, "
                    "s:{s:b, s:s, s:I}, s:o}",
                    "realm", realm, "job", "id", (json_int_t)job->job, "state",
                    job->job != 0 ? job->state : "none", "chunk", (json_int_t)job->chunk,
                    "records_read", (json_int_t)(sum->stored + sum->rejected), "records_stored",
                    (json_int_t)sum->stored, "records_anonymous", (json_int_t)sum->stored_anonymous,
                    "records_rejected", (json_int_t)sum->rejected, "live", (json_int_t)sum->live,
                    "held", (json_int_t)sum->held, "outbox", (json_int_t)sum->outbox, "lag_ms",
                    (json_int_t)sum->beat_age_ms, "open_rejects", (json_int_t)sum->rejects,
                    "rejects_by_reason", reasons, "continuity", "proven", c->proven, "reason",
                    c->exists ? c->reason : "never watched", "beat", (json_int_t)c->beat, "shards",
                    shards_json(report));
    text = json_dumps(all, JSON_COMPACT);
    puts(text != NULL ? text : "{}");
    free(text);
    json_decref(all);
}

static void
print_text(const char *realm, const struct report *report)
{
    const struct sg_job *job = &report->control.job;
    const struct sg_continuity_row *c = &report->control.continuity;
    const struct sg_survey *sum = &report->sum;
    int i;

    printf("realm %s\n", realm);
    if (job->job == 0)
        printf("  job         none yet\n");
    else
        printf("  job         %" PRId64 ", %s, %" PRId64 " chunks\n", job->job, job->state,
               job->chunk);
    printf("  snapshot    %" PRId64 " records read = %" PRId64 " stored (%" PRId64
           " anonymous) + %" PRId64 " rejected\n",
           sum->stored + sum->rejected, sum->stored, sum->stored_anonymous, sum->rejected);
    printf("  now         %" PRId64 " live sessions, %" PRId64 " anonymous, %" PRId64
           " held; outbox %" PRId64 "\n",
           sum->live, sum->anonymous, sum->held, sum->outbox);
    printf("  continuity  %s%s%s\n", c->proven ? "proven" : "not proven", c->proven ? "" : ": ",
           c->proven ? "" : (c->exists ? c->reason : "never watched"));
    for (i = 0; i < report->n; i++) {
        if (!report->up[i])
            printf("  shard %-3d   %s\n", i, report->trouble[i]);
        else if (report->shards[i].beat_age_ms < 0)
            printf("  shard %-3d   no heartbeat yet\n", i);
        else
            printf("  shard %-3d   lag %" PRId64 " ms\n", i, report->shards[i].beat_age_ms);
    }
    printf("  rejects     %" PRId64 " open\n", sum->rejects);
    for (i = 0; i < sum->n_reasons; i++)
        printf("    %-20s %" PRId64 "\n", sum->reasons[i].reason, sum->reasons[i].n);
}

int
transfer_status(int argc, char **argv)
{
    const char *path = "segue.yaml", *realm = NULL;
    bool json = false;
    const struct cli_option options[] = {
        {"config", "FILE", "configuration (default segue.yaml)", .text = &path},
        {"realm", "NAME", "realm (default: the only one)", .text = &realm},
        {"json", NULL, "one JSON object", .flag = &json},
    };
    const struct cli_usage usage = {
        .name = "transfer status",
        .summary = "Job, counts by the ledgers, lag of each shard, rejects, held sessions, "
                   "continuity.",
        .details = "Counting reads every session of the realm.\n",
        .options = options,
        .n_options = sizeof options / sizeof options[0],
        .examples = "  segue transfer status --config segue.yaml --realm main --json\n",
    };
    static struct report report;
    struct transfer_setup setup;
    struct transfer_once once;
    struct sg_err err;
    int n, code;

    if (!cli_parse(&usage, argc, argv, &n, &code))
        return code;
    if ((code = transfer_setup(&usage, path, realm, &setup)) != 0)
        return code;
    if (transfer_once_open(&setup, &once, &err) != 0) {
        code = cli_fail(&usage, &err);
    } else {
        if (read_report(&once, &report, &err) != 0)
            code = cli_fail(&usage, &err);
        else if (json)
            print_json(setup.realm->name, &report);
        else
            print_text(setup.realm->name, &report);
        transfer_once_close(&once);
    }
    transfer_setup_free(&setup);
    return code;
}
