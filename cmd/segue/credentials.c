/* SPDX-License-Identifier: MIT */
#include "store/credentials.h"
#include "commands.h"
#include "control.h"
#include "keys/digest.h"
#include "password/password.h"
#include "session/login.h"
#include "store/sealed.h"
#include "transfer.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TIMEOUT_MS 30000
#define BATCH 500
#define LINE_MAX_BYTES 8192

/* A line that was read and is not written yet. */
struct line {
    int64_t number;
    char subject[SG_SUBJECT_MAX + 1];
    char decoy[SG_PASSWORD_HASH_MAX + 1];
    struct sg_buf sealed;
};

struct import {
    struct transfer_once once;
    struct sg_credential_row rows[BATCH];
    struct line lines[BATCH];
    int n;
    int64_t read, stored, older, rejected;
};

static void
reject(struct import *im, int64_t number, const char *why)
{
    im->rejected++;
    fprintf(stderr, "line %" PRId64 ": %s\n", number, why);
}

/* ---- one line ---- */

static int
seal(struct import *im, struct line *line, struct sg_credential_row *row, const char *hash,
     struct sg_err *err)
{
    const struct sg_bridge *b = im->once.bridge;

    line->sealed = SG_BUF_INIT(SG_PASSWORD_HASH_MAX + SG_SEAL_OVERHEAD);
    if (sg_seal_credential(b->ring, b->realm, row->login, line->subject, sg_str(hash),
                           &line->sealed, err) != 0)
        return -1;
    row->hash = sg_buf_slice(&line->sealed);
    return 0;
}

static int
take(struct import *im, struct line *line, const char *login, const char *subject, const char *hash,
     int64_t version, struct sg_err *err)
{
    const struct sg_bridge *b = im->once.bridge;
    struct sg_credential_row *row = &im->rows[im->n];
    struct sg_password_hash parsed;
    char name[SG_LOGIN_MAX + 1];
    struct sg_hash digest;

    if (login[0] == '\0' || strlen(login) > SG_LOGIN_MAX)
        return sg_fail(err, SG_E_INVALID, "", "expected a login of 1 to %d bytes", SG_LOGIN_MAX);
    if (!sg_is_subject(sg_str(subject)))
        return sg_fail(err, SG_E_INVALID, "",
                       "expected a subject of 1 to %d bytes of UTF-8 without control characters",
                       SG_SUBJECT_MAX);
    if (sg_password_parse(sg_str(hash), &parsed, err) != 0)
        return -1;
    sg_config_login_name(b->config, sg_str(login), name);
    digest = sg_login_digest(&b->realm_key, sg_str(name));
    snprintf(line->subject, sizeof line->subject, "%s", subject);
    snprintf(line->decoy, sizeof line->decoy, "%s", parsed.decoy);
    explicit_bzero(&parsed, sizeof parsed);
    *row = (struct sg_credential_row){
        .realm = b->realm, .subject = line->subject, .decoy = line->decoy, .version = version};
    memcpy(row->login, digest.b, sizeof row->login);
    row->bucket =
        (int)sg_bucket(sg_str(b->realm), sg_slice((const char *)digest.b, sizeof digest.b));
    return seal(im, line, row, hash, err);
}

static void
read_line(struct import *im, const char *text)
{
    struct line *line = &im->lines[im->n];
    const char *login, *subject, *hash;
    json_int_t version = 0;
    json_error_t why;
    struct sg_err err;
    json_t *json;

    im->read++;
    json = json_loads(text, JSON_REJECT_DUPLICATES, &why);
    /* jansson's own text may quote the line. */
    if (json == NULL || json_unpack(json, "{s:s,s:s,s:s,s?I}", "login", &login, "subject", &subject,
                                    "hash", &hash, "version", &version) != 0)
        reject(im, im->read,
               "expected {\"login\":\"…\",\"subject\":\"…\",\"hash\":\"…\"} and, if wanted, "
               "\"version\":NUMBER");
    else if (take(im, line, login, subject, hash, version, &err) != 0)
        reject(im, im->read, err.text);
    else {
        line->number = im->read;
        im->n++;
    }
    json_decref(json);
}

/* ---- a batch ---- */

static void
count(struct import *im, const struct sg_credential_row *row, const struct line *line)
{
    if (row->stored)
        im->stored++;
    else if (row->taken)
        reject(im, line->number, "this login is another subject's");
    else
        im->older++;
}

static int
flush(struct import *im, struct sg_err *err)
{
    const struct sg_bridge *b = im->once.bridge;
    int i, rc = 0;

    if (im->n > 0) {
        sg_store_put_credentials(b->store, im->rows, im->n, sg_bridge_deadline(b, TIMEOUT_MS),
                                 transfer_once_done, &im->once);
        rc = transfer_once_wait(&im->once, err);
    }
    for (i = 0; i < im->n; i++) {
        if (rc == 0)
            count(im, &im->rows[i], &im->lines[i]);
        sg_buf_free(&im->lines[i].sealed);
    }
    im->n = 0;
    return rc;
}

static int
import_all(struct import *im, FILE *in, struct sg_err *err)
{
    bool terminal = isatty(STDERR_FILENO) != 0;
    char text[LINE_MAX_BYTES + 2];
    int c, rc = 0;

    while (rc == 0 && fgets(text, sizeof text, in) != NULL) {
        size_t n = strlen(text);

        if (n > 0 && text[n - 1] != '\n' && !feof(in)) {
            reject(im, ++im->read, "longer than 8,192 bytes, or with a NUL");
            while ((c = getc(in)) != EOF && c != '\n')
                ;
            continue;
        }
        if (text[strspn(text, " \t\r\n")] != '\0')
            read_line(im, text);
        else
            im->read++; /* an empty line has a number too */
        if (im->n == BATCH)
            rc = flush(im, err);
        if (terminal && im->read % BATCH == 0)
            fprintf(stderr, "\r%" PRId64 " lines, %" PRId64 " stored", im->read, im->stored);
    }
    explicit_bzero(text, sizeof text);
    if (rc == 0)
        rc = flush(im, err);
    if (terminal && im->read >= BATCH)
        fprintf(stderr, "\r\033[K");
    return rc;
}

static int
run(const struct cli_usage *usage, const struct transfer_setup *setup, bool json)
{
    struct import *im = calloc(1, sizeof *im);
    struct sg_err err;
    int rc;

    if (im == NULL)
        return CLI_FAILED;
    if (transfer_once_open(setup, &im->once, &err) != 0) {
        free(im);
        return cli_fail(usage, &err);
    }
    rc = import_all(im, stdin, &err);
    transfer_once_close(&im->once);
    if (json)
        printf("{\"read\":%" PRId64 ",\"stored\":%" PRId64 ",\"older\":%" PRId64
               ",\"rejected\":%" PRId64 "}\n",
               im->read, im->stored, im->older, im->rejected);
    else
        printf("%" PRId64 " lines: %" PRId64 " stored, %" PRId64 " older than stored, %" PRId64
               " rejected\n",
               im->read, im->stored, im->older, im->rejected);
    if (rc != 0)
        cli_fail(usage, &err);
    rc = rc != 0 || im->rejected > 0 ? CLI_FAILED : 0;
    free(im);
    return rc;
}

int
cmd_credentials(int argc, char **argv)
{
    const char *path = "segue.yaml", *realm = NULL;
    bool json = false;
    const struct cli_option options[] = {
        {"config", "FILE", "configuration (default segue.yaml)", .text = &path},
        {"realm", "NAME", "realm (default: the only one)", .text = &realm},
        {"json", NULL, "one JSON object at the end", .flag = &json},
    };
    const struct cli_usage usage = {
        .name = "credentials",
        .operands = "import",
        .summary = "Stores password hashes as they are, for POST /v1/login.",
        .details =
            "Reads lines of JSON from stdin: {\"login\":\"ada@example.org\",\"subject\":\"42\","
            "\"hash\":\"$2b$10$…\",\"version\":7}.\n"
            "Run it as often as you like: a line with an older version than stored changes\n"
            "nothing. What cannot be stored is told on stderr by its line number; the exit\n"
            "code is then 1, and the other lines are stored.\n",
        .options = options,
        .n_options = sizeof options / sizeof options[0],
        .least_operands = 1,
        .most_operands = 1,
        .examples = "  psql -XAtqc \"SELECT json_build_object('login', email, 'subject', id::text, "
                    "'hash', password) FROM users\" app |\n"
                    "    segue credentials import --realm main\n",
    };
    struct transfer_setup setup;
    int n, code;

    if (!cli_parse(&usage, argc, argv, &n, &code))
        return code;
    if (strcmp(argv[1], "import") != 0)
        return cli_usage_error(&usage, "expected 'import', not '%s'", argv[1]);
    if ((code = transfer_setup(&usage, path, realm, &setup)) != 0)
        return code;
    if (setup.realm->login.source == NULL)
        code = cli_usage_error(&usage, "realm '%s' has no mapping 'login'", setup.realm->name);
    else
        code = run(&usage, &setup, json);
    transfer_setup_free(&setup);
    return code;
}
