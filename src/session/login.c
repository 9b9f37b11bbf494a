/* SPDX-License-Identifier: MIT */
#include "session/login.h"

#include "base/fault.h"
#include "password/password.h"
#include "session/login_desk.h"
#include "store/sealed.h"
#include "store/subject_sessions.h"

#include <stdlib.h>

#define WAIT_MS 5000 /* for a thread of the pool */

/* What a login of nobody costs in a realm without any credentials. */
static const char no_sample[] = "$2b$10$.....................................................";

/* One login under way. The steps carry the numbers of docs/flows.md. */
struct login {
    struct sg_realm *realm;
    struct login_desk *desk;
    void (*done)(void *ctx, const struct sg_login_out *out);
    void *ctx;
    const char *client_id, *audience;
    bool refreshable;
    char login[SG_LOGIN_MAX + 1], password[SG_PASSWORD_MAX + 1];
    size_t password_len;
    struct sg_hash digest; /* of the login name */
    struct sg_attempt attempt;
    struct sg_credential_read credential;
    struct sg_logins_request ask;
    struct sg_identity_request lookup;
    struct sg_subject_read standing;
    char subject[SG_SUBJECT_MAX + 1]; /* whose the login is, or the decoy's */
    bool known;                       /* not the decoy's */
    bool may;                         /* the subject may log in */
    struct sg_password_hash hash;
    struct sg_work work;
    uint64_t check_by_ns; /* who waits on for longer has been given up by then */
    bool match, late;
    int check_rc;
    struct sg_err err;
};

static void
finish(struct login *l, const struct sg_login_out *out)
{
    struct sg_counters *n = &l->realm->counters;

    if (out->outcome == SG_LOGIN_OK)
        n->logins++;
    else if (out->outcome == SG_LOGIN_REFUSED)
        n->login_refused++;
    l->realm->engine->open_ops--;
    l->done(l->ctx, out);
    sg_buf_free(&l->credential.hash);
    sg_subject_read_clear(&l->standing);
    explicit_bzero(l, sizeof *l);
    free(l);
}

static void
refused(struct login *l)
{
    const struct sg_login_out out = {.outcome = SG_LOGIN_REFUSED,
                                     .why = "the login or the password is wrong"};

    finish(l, &out);
}

static void
retry(struct login *l, const char *why)
{
    const struct sg_login_out out = {
        .outcome = SG_LOGIN_UNAVAILABLE, .why = why, .retry_after_sec = 1};

    finish(l, &out);
}

/* Not judged: the try is given back. */
static void
unavailable(struct login *l, const char *why)
{
    struct sg_engine *e = l->realm->engine;

    sg_attempts_give_back(e->options.attempts, &l->attempt, false, sg_mono_ns(e->clock));
    retry(l, why);
}

static void
busy(struct login *l)
{
    l->realm->counters.login_busy++;
    unavailable(l, "too many logins at once");
}

static void
store_failed(struct login *l, const struct sg_err *err)
{
    if (err->code == SG_E_NOT_OWNER) {
        l->realm->counters.not_owner++;
        control_reread_map(l->realm->engine);
    }
    unavailable(l, sg_code_name(err->code));
}

/* ---- step 5: judge ---- */

static void
created(void *ctx, const struct sg_token_out *tokens)
{
    struct login *l = ctx;
    const struct sg_login_out out = {.outcome = SG_LOGIN_OK, .tokens = tokens};

    switch (tokens->status) {
    case SG_TOKEN_OK:
        finish(l, &out);
        break;
    case SG_TOKEN_INVALID_GRANT: /* banned meanwhile */
        refused(l);
        break;
    case SG_TOKEN_INVALID_REQUEST:
    case SG_TOKEN_INVALID_SCOPE:
    case SG_TOKEN_INVALID_TARGET:
    case SG_TOKEN_CLIENT_DISABLED: /* meanwhile */
    case SG_TOKEN_NOT_ENABLED:
    case SG_TOKEN_UNAVAILABLE:
        retry(l, tokens->why); /* its try was given back for the right password */
        break;
    }
}

static void
checked(struct sg_work *work)
{
    struct login *l = sg_container_of(work, struct login, work);
    struct sg_engine *e = l->realm->engine;

    explicit_bzero(l->password, sizeof l->password);
    sg_fault("login.checked");
    if (l->late)
        busy(l);
    else if (l->check_rc != 0) {
        engine_event(e, true, "a password could not be checked", &l->err);
        unavailable(l, "check");
    } else if (l->match && l->known && l->may) {
        sg_attempts_give_back(e->options.attempts, &l->attempt, true, sg_mono_ns(e->clock));
        sg_session_create(l->realm, l->subject, l->client_id, l->audience, l->refreshable, created,
                          l);
    } else
        refused(l);
}

/* ---- step 4: the check, on a thread of the pool ---- */

static void
check(struct sg_work *work)
{
    struct login *l = sg_container_of(work, struct login, work);

    l->late = sg_mono_ns(l->realm->engine->clock) > l->check_by_ns;
    if (!l->late)
        l->check_rc =
            sg_password_check(&l->hash, sg_slice(l->password, l->password_len), &l->match, &l->err);
}

static void
step_check(struct login *l)
{
    l->work.run = check;
    l->work.done = checked;
    l->check_by_ns = engine_deadline(l->realm->engine, WAIT_MS);
    if (sg_work_submit(l->realm->engine->work, &l->work, &l->err) != 0)
        busy(l);
}

/* ---- step 3: may the subject log in? Asked of everybody, before anything is known of the
 * password, so that the time says nothing. ---- */

static void
standing_read(void *ctx, int rc, const struct sg_err *err)
{
    struct login *l = ctx;

    l->may = l->may && !l->standing.banned && !l->standing.locked;
    if (rc != 0)
        store_failed(l, err);
    else
        step_check(l);
}

static void
looked_up(struct sg_identity_request *lookup)
{
    struct login *l = sg_container_of(lookup, struct login, lookup);
    struct sg_engine *e = l->realm->engine;

    if (lookup->rc != 0 && lookup->err.code != SG_E_INVALID) {
        unavailable(l, "the identity source does not answer");
        return;
    }
    l->may = lookup->rc == 0 && lookup->found && lookup->identity.active;
    l->standing = (struct sg_subject_read){
        .realm = l->realm->config->name,
        .bucket = (int)sg_bucket(sg_str(l->realm->config->name), sg_str(l->subject)),
        .subject = l->subject};
    sg_store_get_subjects(e->store, &l->standing, 1, engine_deadline(e, OP_TIMEOUT_MS),
                          standing_read, l);
}

static void
step_standing(struct login *l)
{
    if (l->subject[0] == '\0') { /* a realm without credentials: there is nobody to hide */
        step_check(l);
        return;
    }
    snprintf(l->lookup.subject, sizeof l->lookup.subject, "%s", l->subject);
    l->lookup.deadline_ns = engine_deadline(l->realm->engine, OP_TIMEOUT_MS);
    l->lookup.done = looked_up;
    l->realm->identity->type->lookup(l->realm->identity, &l->lookup);
}

/* ---- step 2: whose login it is, and the hash ---- */

/* Takes the hash found; false where it cannot be used. */
static bool
take_hash(struct login *l, struct sg_slice subject, struct sg_slice text)
{
    struct sg_err err;

    if (!sg_is_subject(subject)) {
        sg_fail(&err, SG_E_INVALID, l->realm->config->name,
                "expected 1 to %d bytes of UTF-8 without control characters", SG_SUBJECT_MAX);
        engine_event(l->realm->engine, true, "a login's subject cannot be one", &err);
        return false;
    }
    if (sg_password_parse(text, &l->hash, &err) != 0) {
        engine_event(l->realm->engine, true, "a stored password hash cannot be checked", &err);
        return false;
    }
    memcpy(l->subject, subject.ptr, subject.len);
    l->subject[subject.len] = '\0';
    l->known = true;
    return true;
}

static void
step_decoy(struct login *l)
{
    const struct decoy *decoy = login_decoy(l->desk, &l->digest);

    if (!l->known) {
        snprintf(l->subject, sizeof l->subject, "%s", decoy != NULL ? decoy->subject : "");
        if (sg_password_parse(sg_str(decoy != NULL ? decoy->text : no_sample), &l->hash, &l->err) !=
            0) {
            unavailable(l, "decoy"); /* a row that somebody wrote by hand */
            return;
        }
    }
    step_standing(l);
}

static void
credential_read(void *ctx, int rc, const struct sg_err *err)
{
    struct login *l = ctx;
    struct sg_credential_read *c = &l->credential;
    struct sg_buf text = SG_BUF_INIT(SG_PASSWORD_HASH_MAX + 1);

    if (rc != 0) {
        store_failed(l, err);
        return;
    }
    if (c->found && sg_open_credential(l->realm->engine->options.ring, c->realm, c->login,
                                       c->subject, sg_buf_slice(&c->hash), &text, &l->err) != 0)
        engine_event(l->realm->engine, true, "a stored password hash cannot be opened", &l->err);
    else if (c->found)
        (void)take_hash(l, sg_str(c->subject), sg_buf_slice(&text));
    sg_buf_wipe(&text);
    step_decoy(l);
}

static void
row_read(struct sg_logins_request *ask, struct sg_slice subject, struct sg_slice hash)
{
    (void)take_hash(sg_container_of(ask, struct login, ask), subject, hash);
}

static void
source_answered(struct sg_logins_request *ask, int rc, const struct sg_err *err)
{
    struct login *l = sg_container_of(ask, struct login, ask);

    if (rc != 0 && err->code == SG_E_INVALID) {
        /* The statement cannot do with this login: then nobody has it. */
        engine_event(l->realm->engine, true, "the login source gave a strange answer", err);
        step_decoy(l);
    } else if (rc != 0)
        unavailable(l, "the login source does not answer");
    else
        step_decoy(l);
}

static void
step_credential(struct login *l)
{
    struct sg_engine *e = l->realm->engine;
    const char *realm = l->realm->config->name;

    if (l->desk->source != NULL) {
        l->ask = (struct sg_logins_request){.login = l->login,
                                            .deadline_ns = engine_deadline(e, OP_TIMEOUT_MS),
                                            .row = row_read,
                                            .done = source_answered};
        sg_logins_ask(l->desk->source, &l->ask);
        return;
    }
    l->credential.realm = realm;
    memcpy(l->credential.login, l->digest.b, sizeof l->credential.login);
    l->credential.bucket =
        (int)sg_bucket(sg_str(realm), sg_slice((char *)l->digest.b, SG_DIGEST_BYTES));
    sg_store_get_credential(e->store, &l->credential, engine_deadline(e, OP_TIMEOUT_MS),
                            credential_read, l);
}

/* ---- step 1: pay for the try ---- */

static bool
is_well_formed(const struct sg_login_in *in)
{
    return in->login.len > 0 && in->login.len <= SG_LOGIN_MAX &&
           memchr(in->login.ptr, '\0', in->login.len) == NULL && in->password.len > 0 &&
           in->password.len <= SG_PASSWORD_MAX;
}

static void
answer_at_once(struct sg_realm *r, enum sg_login_outcome outcome, const char *why, int64_t sec,
               void (*done)(void *ctx, const struct sg_login_out *out), void *ctx)
{
    const struct sg_login_out out = {.outcome = outcome, .why = why, .retry_after_sec = sec};

    if (outcome == SG_LOGIN_LIMITED)
        r->counters.login_limited++;
    done(ctx, &out);
}

/* A source may find the same login by several spellings; they are one budget. */
static struct sg_hash
budget_of(const struct login *l)
{
    char folded[SG_LOGIN_MAX + 1];
    size_t i, n = 0;

    for (i = 0; l->login[i] != '\0'; i++)
        if (l->login[i] != ' ')
            folded[n++] = l->login[i] >= 'A' && l->login[i] <= 'Z' ? (char)(l->login[i] + 'a' - 'A')
                                                                   : l->login[i];
    return sg_login_digest(&l->realm->digest_key, sg_slice(folded, n));
}

static void
take_login(struct login *l, const struct sg_login_in *in)
{
    const struct sg_realm_config *c = l->realm->config;

    sg_config_login_name(c, in->login, l->login);
    memcpy(l->password, in->password.ptr, in->password.len);
    l->password_len = in->password.len;
    l->client_id = in->client_id;
    l->audience = in->audience;
    l->refreshable = in->refreshable;
    l->digest = sg_login_digest(&l->realm->digest_key, sg_str(l->login));
    l->attempt = (struct sg_attempt){.realm = c->name,
                                     .login = budget_of(l),
                                     .limits = {.per_address = c->login.tries_per_address,
                                                .per_login = c->login.tries_per_login,
                                                .per_pair = c->login.tries_per_pair,
                                                .window_ms = c->login.tries_window_ms}};
    memcpy(l->attempt.address, in->address, sizeof l->attempt.address);
}

void
sg_login(struct sg_realm *r, const struct sg_login_in *in,
         void (*done)(void *ctx, const struct sg_login_out *out), void *ctx)
{
    struct sg_engine *e = r->engine;
    struct login *l;
    int64_t wait_ms;

    if (!is_well_formed(in)) {
        answer_at_once(r, SG_LOGIN_INVALID,
                       "a login name has 1 to 320 bytes, a password 1 to 1,024", 0, done, ctx);
        return;
    }
    if (realm_is_known(r) && sg_policy_client_is_disabled(&r->policy, sg_str(in->client_id))) {
        answer_at_once(r, SG_LOGIN_CLIENT_DISABLED, "this client is disabled", 0, done, ctx);
        return;
    }
    if (!realm_is_known(r) || !r->login_desk->sampled || (l = calloc(1, sizeof *l)) == NULL) {
        answer_at_once(r, SG_LOGIN_UNAVAILABLE, "starting, or short of memory", 1, done, ctx);
        return;
    }
    l->realm = r;
    l->desk = r->login_desk;
    l->done = done;
    l->ctx = ctx;
    take_login(l, in);
    wait_ms = sg_attempts_take(e->options.attempts, &l->attempt, sg_mono_ns(e->clock));
    if (wait_ms > 0) {
        explicit_bzero(l, sizeof *l);
        free(l);
        answer_at_once(r, SG_LOGIN_LIMITED, "too many tries", (wait_ms + 999) / 1000, done, ctx);
        return;
    }
    e->open_ops++;
    step_credential(l);
}
