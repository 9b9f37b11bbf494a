/* SPDX-License-Identifier: MIT */
#include "commands.h"
#include "control.h"
#include "session/logout.h"
#include "transfer.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const verbs[] = {"ban", "unban", "logout", NULL};
enum verb { BAN, UNBAN, LOGOUT, N_VERBS };

static void
logged_out(struct sg_logout *l)
{
    transfer_once_done(l->ctx, l->rc, &l->err);
}

/* Whether the legacy store is still written, as the policy says. */
static int
read_mirror(struct control_db *db, const char *realm, bool *mirror, struct sg_err *err)
{
    int64_t finalized;

    if (control_number(db, 0, &finalized, err,
                       "SELECT (phase = 'finalized')::int FROM segue_control.policy "
                       "WHERE realm = $1",
                       1, &realm) != 0)
        return -1;
    *mirror = finalized == 0;
    return 0;
}

/* Written before anything is done, so that nothing goes unrecorded (P8). */
static int
journal(struct control_db *db, const char *realm, enum verb verb, const char *subject,
        const char *why, struct sg_err *err)
{
    char action[32];
    json_t *state = json_pack("{s:s}", "subject", subject);
    char *text = state != NULL ? json_dumps(state, JSON_COMPACT) : NULL;
    struct control_entry entry = {.realm = realm, .action = action, .why = why, .to = text};
    int rc = text != NULL ? 0 : sg_fail(err, SG_E_INVALID, "subject", "expected UTF-8");

    snprintf(action, sizeof action, "subject.%s", verbs[verb]);
    if (rc == 0)
        rc = control_begin(db, err);
    if (rc == 0)
        rc = control_journal(db, &entry, err);
    if (rc == 0)
        rc = control_commit(db, err);
    free(text);
    json_decref(state);
    return rc;
}

static int
change(const struct transfer_setup *setup, enum verb verb, const char *subject, bool mirror,
       struct sg_logout *l, struct sg_err *err)
{
    struct transfer_once once;
    int rc;

    if (transfer_once_open(setup, &once, err) != 0)
        return -1;
    *l = (struct sg_logout){.clock = once.bridge->clock,
                            .store = once.bridge->store,
                            .legacy = once.bridge->legacy,
                            .codec = once.bridge->codec,
                            .ring = once.bridge->ring,
                            .realm = once.bridge->realm,
                            .reason = verb == BAN ? "banned" : "logout-everywhere",
                            .mirror = mirror,
                            .lock = verb == BAN     ? SG_LOCK_SET
                                    : verb == UNBAN ? SG_LOCK_CLEAR
                                                    : SG_LOCK_KEEP,
                            .done = logged_out,
                            .ctx = &once};
    snprintf(l->subject, sizeof l->subject, "%s", subject);
    sg_logout(l);
    rc = transfer_once_wait(&once, err);
    transfer_once_close(&once);
    return rc;
}

static int
run(const struct cli_usage *usage, const struct transfer_setup *setup, enum verb verb,
    const char *subject, const char *why, bool json)
{
    struct control_db db = {0};
    struct sg_logout l;
    bool mirror = true;
    struct sg_err err;
    int rc = control_open(&db, setup->config->control, "control", &err);

    if (rc == 0)
        rc = read_mirror(&db, setup->realm->name, &mirror, &err);
    if (rc == 0)
        rc = journal(&db, setup->realm->name, verb, subject, why, &err);
    control_close(&db);
    if (rc == 0)
        rc = change(setup, verb, subject, mirror, &l, &err);
    if (rc != 0)
        return cli_fail(usage, &err);
    if (json)
        printf("{\"ended\":%" PRId64 ",\"epoch\":%d}\n", l.ended, l.epoch);
    else if (verb == UNBAN)
        printf("unbanned, as far as Segue is asked; its source may say otherwise\n");
    else
        printf("%s, %" PRId64 " session%s ended\n", verb == BAN ? "banned" : "logged out", l.ended,
               l.ended == 1 ? "" : "s");
    return 0;
}

int
cmd_subject(int argc, char **argv)
{
    const char *path = "segue.yaml", *realm = NULL, *why = "";
    bool json = false;
    const struct cli_option options[] = {
        {"config", "FILE", "configuration (default segue.yaml)", .text = &path},
        {"realm", "NAME", "realm (default: the only one)", .text = &realm},
        {"why", "TEXT", "for the journal", .text = &why},
        {"json", NULL, "one JSON object", .flag = &json},
    };
    const struct cli_usage usage = {
        .name = "subject",
        .operands = "ban|unban|logout SUBJECT",
        .summary = "Ends every session of a subject on both sides, and with ban lets none begin.",
        .details = "A ban holds whatever the identity source says, until unban. Journaled. Run it\n"
                   "again after a failure.\n",
        .options = options,
        .n_options = sizeof options / sizeof options[0],
        .least_operands = 2,
        .most_operands = 2,
        .examples = "  segue subject logout 42 --why \"lost laptop\"\n"
                    "  segue subject ban 42 --realm main --why \"ticket 1138\"\n",
    };
    struct transfer_setup setup;
    enum verb verb = BAN;
    int n, code;

    if (!cli_parse(&usage, argc, argv, &n, &code))
        return code;
    while (verb < N_VERBS && strcmp(verbs[verb], argv[1]) != 0)
        verb++;
    if (verb == N_VERBS)
        return cli_usage_error(&usage, "expected ban, unban or logout, not '%s'", argv[1]);
    if (argv[2][0] == '\0' || strlen(argv[2]) > SG_SUBJECT_MAX)
        return cli_usage_error(&usage, "expected a subject of 1 to %d bytes", SG_SUBJECT_MAX);
    if ((code = transfer_setup(&usage, path, realm, &setup)) != 0)
        return code;
    code = run(&usage, &setup, verb, argv[2], why, json);
    transfer_setup_free(&setup);
    return code;
}
