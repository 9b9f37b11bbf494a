/* SPDX-License-Identifier: MIT */
#include "server/server_internal.h"

#include <stddef.h>

/* Every counter of a realm: one line here is one series. Names and units follow Prometheus'
 * conventions; labels never hold anything a client sent (P9). */
static const struct {
    const char *name, *labels, *help;
    size_t offset;
} series[] = {
#define SERIES(name, labels, field, help)                                                          \
    {                                                                                              \
        name, labels, help, offsetof(struct sg_counters, field)                                    \
    }
    SERIES("segue_verify_total", "credential=\"jwt\"", verify_jwt, "Answers of /verify."),
    SERIES("segue_verify_total", "credential=\"legacy\"", verify_legacy, NULL),
    SERIES("segue_verify_total", "credential=\"both\"", verify_both, NULL),
    SERIES("segue_verify_total", "credential=\"client\"", verify_client, NULL),
    SERIES("segue_verify_total", "credential=\"none\"", verify_none, NULL),
    SERIES("segue_verify_total", "credential=\"refused\"", verify_refused, NULL),
    SERIES("segue_verify_total", "credential=\"unavailable\"", verify_unavailable, NULL),
    SERIES("segue_tokens_verified_total", "by=\"cache\"", token_kept,
           "JWTs shown: known from before, or checked by their signature."),
    SERIES("segue_tokens_verified_total", "by=\"signature\"", token_signature, NULL),
    SERIES("segue_minted_total", "kind=\"first\"", minted_first, "Access tokens minted."),
    SERIES("segue_minted_total", "kind=\"renewed\"", minted_renewed, NULL),
    SERIES("segue_minted_total", "kind=\"repeated\"", minted_repeated, NULL),
    SERIES("segue_minted_total", "kind=\"upstream\"", minted_upstream, NULL),
    SERIES("segue_minted_total", "kind=\"reference\"", minted_reference, NULL),
    SERIES("segue_minted_total", "kind=\"client\"", minted_client, NULL),
    SERIES("segue_minted_total", "kind=\"shadow\"", minted_shadow, NULL),
    SERIES("segue_shadow_mismatch_total", "", shadow_mismatch,
           "Shadow tokens that did not verify as the subject they were minted for."),
    SERIES("segue_exchanges_total", "", exchanged, "Token exchanges asked for."),
    SERIES("segue_refreshes_total", "kind=\"rotated\"", refreshed, "Refresh tokens shown."),
    SERIES("segue_refreshes_total", "kind=\"grace\"", refresh_grace, NULL),
    SERIES("segue_refreshes_total", "kind=\"reused\"", refresh_reused, NULL),
    SERIES("segue_sessions_ended_total", "", ended, "Sessions ended by this instance."),
    SERIES("segue_sessions_created_total", "", created, "Sessions created for a trusted backend."),
    SERIES("segue_logins_total", "result=\"ok\"", logins, "Answers of POST /v1/login."),
    SERIES("segue_logins_total", "result=\"refused\"", login_refused, NULL),
    SERIES("segue_logins_total", "result=\"limited\"", login_limited, NULL),
    SERIES("segue_logins_total", "result=\"busy\"", login_busy, NULL),
    SERIES("segue_refused_total", "why=\"policy\"", refused_policy, "First tokens not minted."),
    SERIES("segue_refused_total", "why=\"ended\"", refused_ended, NULL),
    SERIES("segue_refused_total", "why=\"banned\"", refused_banned, NULL),
    SERIES("segue_refused_total", "why=\"size\"", refused_size, NULL),
    SERIES("segue_legacy_undecodable_total", "", legacy_undecodable,
           "Legacy records shown that the codec could not read."),
    SERIES("segue_held_total", "", held, "Renewals of sessions that are absent without proof."),
    SERIES("segue_injected_total", "", injected, "Legacy credentials injected upstream."),
    SERIES("segue_feed_rows_total", "", feed_rows, "Rows of the feed applied."),
    SERIES("segue_feed_errors_total", "", feed_errors, "Polls of the feed that failed."),
    SERIES("segue_control_errors_total", "", control_errors, "Polls of control that failed."),
    SERIES("segue_not_owner_total", "", not_owner, "Writes refused by a shard's fence."),
    SERIES("segue_identity_errors_total", "", identity_errors,
           "Lookups for which the identity source was down or made no sense."),
    SERIES("segue_claims_unfit_total", "why=\"required\"", claims_missing,
           "Attributes that no custom claim could be made of."),
    SERIES("segue_claims_unfit_total", "why=\"left-out\"", claims_left_out, NULL),
    SERIES("segue_subjects_total", "how=\"patched\"", subjects_patched,
           "Subjects changed over this instance."),
    SERIES("segue_subjects_total", "how=\"reread\"", subjects_reread, NULL),
#undef SERIES
};

static void
header(struct sg_buf *out, const char *name, const char *type, const char *help)
{
    sg_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void
counters(struct sg_buf *out, struct sg_engine *engine)
{
    size_t i;
    int r;

    for (i = 0; i < sizeof series / sizeof series[0]; i++) {
        if (series[i].help != NULL)
            header(out, series[i].name, "counter", series[i].help);
        for (r = 0; r < sg_engine_realms(engine); r++) {
            struct sg_realm *realm = sg_engine_realm_at(engine, r);
            uint64_t value;

            memcpy(&value, (const char *)sg_realm_counters(realm) + series[i].offset, sizeof value);
            sg_buf_printf(out, "%s{realm=\"%s\"%s%s} %llu\n", series[i].name,
                          sg_realm_config(realm)->name, series[i].labels[0] != '\0' ? "," : "",
                          series[i].labels, (unsigned long long)value);
        }
    }
}

static void
seconds(struct sg_buf *out, int64_t ms)
{
    if (ms == INT64_MAX)
        sg_buf_puts(out, "+Inf\n");
    else
        sg_buf_printf(out, "%.3f\n", (double)ms / 1000);
}

static void
gauges(struct sg_buf *out, const struct sg_server *s)
{
    int i;

    header(out, "segue_policy_version", "gauge", "Version of the policy this instance is under.");
    for (i = 0; i < sg_engine_realms(s->engine); i++) {
        struct sg_realm *r = sg_engine_realm_at(s->engine, i);

        sg_buf_printf(out, "segue_policy_version{realm=\"%s\",phase=\"%s\"} %lld\n",
                      sg_realm_config(r)->name, sg_phase_name(sg_realm_policy(r)->phase),
                      (long long)sg_realm_policy(r)->version);
    }
    header(out, "segue_policy_lease", "gauge", "1 while the policy is confirmed within 2 s.");
    for (i = 0; i < sg_engine_realms(s->engine); i++) {
        struct sg_realm *r = sg_engine_realm_at(s->engine, i);

        sg_buf_printf(out, "segue_policy_lease{realm=\"%s\"} %d\n", sg_realm_config(r)->name,
                      sg_realm_lease(r));
    }
    header(out, "segue_heartbeat_age_seconds", "gauge",
           "Age of the newest heartbeat on the worst shard: legacy store, capture, shard, feed.");
    for (i = 0; i < sg_engine_realms(s->engine); i++) {
        struct sg_realm *r = sg_engine_realm_at(s->engine, i);

        sg_buf_printf(out, "segue_heartbeat_age_seconds{realm=\"%s\"} ", sg_realm_config(r)->name);
        seconds(out, sg_realm_beat_age_ms(r));
    }
    header(out, "segue_feed_age_seconds", "gauge", "Since the last successful poll of a shard.");
    for (i = 0; i < s->options.config->n_shards; i++) {
        sg_buf_printf(out, "segue_feed_age_seconds{shard=\"%d\"} ", i);
        seconds(out, sg_engine_feed_age_ms(s->engine, i));
    }
}

void
route_metrics(struct exchange *x)
{
    const struct sg_server *s = x->server;
    struct sg_buf out = SG_BUF_INIT(1 << 20);
    struct sg_http_stats http = sg_http_stats(s->http);
    int i;

    counters(&out, s->engine);
    gauges(&out, s);
    header(&out, "segue_http_responses_total", "counter", "Answers by class of status.");
    for (i = 2; i < 6; i++)
        sg_buf_printf(&out, "segue_http_responses_total{class=\"%dxx\"} %llu\n", i,
                      (unsigned long long)s->answers[i]);
    header(&out, "segue_http_connections", "gauge", "Open connections.");
    sg_buf_printf(&out, "segue_http_connections %d\n", http.open_connections);
    header(&out, "segue_http_refused_total", "counter", "Malformed or ambiguous requests refused.");
    sg_buf_printf(&out, "segue_http_refused_total %llu\n", (unsigned long long)http.refused);
    header(&out, "segue_up_seconds", "gauge", "Since this loop started.");
    sg_buf_printf(&out, "segue_up_seconds %.1f\n",
                  (double)(sg_mono_ns(s->clock) - s->started_ns) / 1e9);
    sg_http_add_header(x->request, "Content-Type", sg_str("text/plain; version=0.0.4"));
    server_answer(x, out.failed ? 500 : 200, sg_buf_slice(&out));
    sg_buf_free(&out);
}
