/* SPDX-License-Identifier: MIT */
#include "source/dynamo_http.h"

#include "base/hash.h"
#include "source/dynamo_credentials.h"

#include <curl/curl.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define TRIES 10
#define FIRST_MS 50
#define MOST_MS 5000
#define SLICE_MS 100

struct sg_dynamo {
    CURL *curl;
    char endpoint[320], name[160], region[64];
    struct sg_dynamo_credentials credentials;
    const atomic_bool *stop;
    struct sg_buf answer;
    bool too_large;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void
start_library(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

const char *
sg_dynamo_name(const struct sg_dynamo *d)
{
    return d->name;
}

bool
sg_dynamo_stopped(const struct sg_dynamo *d)
{
    return d->stop != NULL && atomic_load_explicit(d->stop, memory_order_relaxed);
}

/* ---- opening ---- */

static int
bad_url(struct sg_err *err, const char *what)
{
    return sg_fail(err, SG_E_INVALID, "dynamodb url",
                   "%s; expected dynamodb://REGION or dynamodb://HOST:PORT/REGION", what);
}

static bool
is_loopback(struct sg_slice host)
{
    return sg_slice_starts(host, "localhost") || sg_slice_starts(host, "127.") ||
           sg_slice_starts(host, "[::1]");
}

static int
parse_url(struct sg_dynamo *d, const char *url, struct sg_err *err)
{
    const char *rest = url + strlen("dynamodb://"), *slash;
    struct sg_slice host = {NULL, 0};
    size_t n, i;

    if (strncmp(url, "dynamodb://", 11) != 0)
        return bad_url(err, "\"//\" is missing");
    if (strchr(rest, '@') != NULL)
        return bad_url(err, "credentials do not belong into the URL but into AWS_ACCESS_KEY_ID, "
                            "AWS_SECRET_ACCESS_KEY");
    if ((slash = strchr(rest, '/')) != NULL) {
        host = sg_slice(rest, (size_t)(slash - rest));
        rest = slash + 1;
    }
    n = strlen(rest);
    for (i = 0; i < n && strchr("abcdefghijklmnopqrstuvwxyz0123456789-", rest[i]) != NULL; i++) {
    }
    if (n == 0 || i != n || n >= sizeof d->region)
        return bad_url(err, "the region is missing or misspelt");
    if (slash != NULL && (host.len == 0 || host.len > 120))
        return bad_url(err, "the host is missing or too long");
    for (i = 0; i < host.len; i++)
        if (host.ptr[i] <= ' ' || strchr("?#%\\", host.ptr[i]) != NULL || host.ptr[i] == 0x7f)
            return bad_url(err, "the host is misspelt");
    snprintf(d->region, sizeof d->region, "%s", rest);
    if (slash == NULL)
        snprintf(d->endpoint, sizeof d->endpoint, "https://dynamodb.%s.amazonaws.com/", d->region);
    else
        snprintf(d->endpoint, sizeof d->endpoint, "%s://%.*s/",
                 is_loopback(host) ? "http" : "https", (int)host.len, host.ptr);
    snprintf(d->name, sizeof d->name, "dynamodb %.*s", slash != NULL ? (int)host.len : (int)n,
             slash != NULL ? host.ptr : rest);
    return 0;
}

static size_t
on_body(char *bytes, size_t size, size_t n, void *ctx)
{
    struct sg_dynamo *d = ctx;

    sg_buf_add(&d->answer, sg_slice(bytes, size * n));
    d->too_large = d->answer.failed;
    return d->too_large ? 0 : size * n;
}

static int
on_progress(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t e)
{
    (void)a, (void)b, (void)c, (void)e;
    return sg_dynamo_stopped(ctx);
}

static void
set_options(struct sg_dynamo *d, const struct sg_source_options *o)
{
    char provider[128];

    snprintf(provider, sizeof provider, "aws:amz:%s:dynamodb", d->region);
    curl_easy_setopt(d->curl, CURLOPT_URL, d->endpoint);
    curl_easy_setopt(d->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(d->curl, CURLOPT_AWS_SIGV4, provider);
    curl_easy_setopt(d->curl, CURLOPT_USERNAME, d->credentials.id);
    curl_easy_setopt(d->curl, CURLOPT_PASSWORD, d->credentials.secret);
    curl_easy_setopt(d->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(d->curl, CURLOPT_CONNECTTIMEOUT_MS, (long)o->timeout_ms);
    curl_easy_setopt(d->curl, CURLOPT_TIMEOUT_MS, (long)o->timeout_ms);
    curl_easy_setopt(d->curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(d->curl, CURLOPT_WRITEDATA, d);
    curl_easy_setopt(d->curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(d->curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(d->curl, CURLOPT_XFERINFODATA, d);
    if (strncmp(d->endpoint, "http:", 5) == 0)
        curl_easy_setopt(d->curl, CURLOPT_NOPROXY, "*");
    if (o->ca_file != NULL)
        curl_easy_setopt(d->curl, CURLOPT_CAINFO, o->ca_file);
}

int
sg_dynamo_open(const struct sg_source_options *o, struct sg_dynamo **out, struct sg_err *err)
{
    struct sg_dynamo *d;

    pthread_once(&once, start_library);
    if ((d = calloc(1, sizeof *d)) == NULL)
        return sg_fail(err, SG_E_INTERNAL, "dynamodb", "out of memory");
    d->stop = o->stop;
    d->answer = SG_BUF_INIT(SG_DOC_BYTES_MAX);
    if (parse_url(d, o->url, err) != 0 || sg_dynamo_credentials_find(&d->credentials, err) != 0)
        goto fail;
    if ((d->curl = curl_easy_init()) == NULL) {
        sg_fail(err, SG_E_INTERNAL, d->name, "out of memory");
        goto fail;
    }
    set_options(d, o);
    *out = d;
    return 0;
fail:
    sg_dynamo_close(d);
    return -1;
}

void
sg_dynamo_close(struct sg_dynamo *d)
{
    if (d == NULL)
        return;
    if (d->curl != NULL)
        curl_easy_cleanup(d->curl);
    sg_buf_free(&d->answer);
    sodium_memzero(d, sizeof *d);
    free(d);
}

/* ---- asking ---- */

int
sg_dynamo_back_off(struct sg_dynamo *d, int try, struct sg_err *err)
{
    int ms = try > 8 ? MOST_MS : FIRST_MS << (try - 1), left;
    uint16_t random;

    if (try > TRIES)
        return sg_fail(err, SG_E_UNAVAILABLE, d->name, "throttled, also at the %dth try", TRIES);
    sg_random(&random, sizeof random);
    ms = ms < MOST_MS ? ms : MOST_MS;
    ms = ms / 2 + ms / 2 * random / UINT16_MAX; /* so that readers do not come back together */
    for (left = ms; left > 0 && !sg_dynamo_stopped(d); left -= SLICE_MS) {
        struct timespec t = {0, (left < SLICE_MS ? left : SLICE_MS) * 1000000L};

        nanosleep(&t, NULL);
    }
    return sg_dynamo_stopped(d) ? sg_fail(err, SG_E_CANCELLED, d->name, "stopped") : 0;
}

/* "com.amazonaws.dynamodb.v20120810#ThrottlingException" */
static void
error_type(struct sg_slice answer, char out[64])
{
    const char *type = answer.len != 0 ? memmem(answer.ptr, answer.len, "\"__type\"", 8) : NULL;
    const char *end = answer.ptr + answer.len, *from, *p;

    snprintf(out, 64, "no error type");
    if (type == NULL || (from = memchr(type + 8, '"', (size_t)(end - type - 8))) == NULL)
        return;
    for (p = ++from; p != end && *p != '"'; p++)
        if (*p == '#')
            from = p + 1;
    snprintf(out, 64, "%.*s", (int)(p - from < 60 ? p - from : 60), from);
    for (p = out; *p != '\0'; p++)
        if (*p <= ' ' || *p > '~')
            snprintf(out, 64, "an unreadable error type");
}

static bool
is_one_of(const char *type, const char *const *list)
{
    while (*list != NULL && strcmp(type, *list) != 0)
        list++;
    return *list != NULL;
}

/* An answer other than 200. *again: it may be asked once more. */
static int
refused(struct sg_dynamo *d, const char *operation, long status, bool *again, struct sg_err *err)
{
    static const char *const passing[] = {"ProvisionedThroughputExceededException",
                                          "ThrottlingException",
                                          "RequestLimitExceeded",
                                          "InternalServerError",
                                          "ServiceUnavailable",
                                          NULL};
    static const char *const denied[] = {"AccessDeniedException",
                                         "UnrecognizedClientException",
                                         "IncompleteSignatureException",
                                         "InvalidSignatureException",
                                         "MissingAuthenticationTokenException",
                                         "ExpiredTokenException",
                                         NULL};
    enum sg_code code = SG_E_INTERNAL;
    char type[64];

    /* The type alone: the message may quote keys. */
    error_type(sg_buf_slice(&d->answer), type);
    *again = status >= 500 || is_one_of(type, passing);
    if (*again)
        code = SG_E_UNAVAILABLE;
    else if (is_one_of(type, denied))
        code = SG_E_DENIED;
    else if (strcmp(type, "ResourceNotFoundException") == 0)
        code = SG_E_NOT_FOUND;
    return sg_fail(err, code, d->name, "%s was refused: %s (%ld)", operation, type, status);
}

static int
ask_once(struct sg_dynamo *d, const char *operation, bool *again, struct sg_err *err)
{
    CURLcode rc;
    long status;

    *again = false;
    sg_buf_reset(&d->answer);
    d->too_large = false;
    rc = curl_easy_perform(d->curl);
    if (d->too_large)
        return sg_fail(err, SG_E_LIMIT, d->name, "an answer of more than %d bytes",
                       SG_DOC_BYTES_MAX);
    if (rc == CURLE_ABORTED_BY_CALLBACK)
        return sg_fail(err, SG_E_CANCELLED, d->name, "stopped");
    if (rc != CURLE_OK)
        return sg_fail(err, rc == CURLE_OPERATION_TIMEDOUT ? SG_E_TIMEOUT : SG_E_UNAVAILABLE,
                       d->name, "%s: %s", operation, curl_easy_strerror(rc));
    curl_easy_getinfo(d->curl, CURLINFO_RESPONSE_CODE, &status);
    return status == 200 ? 0 : refused(d, operation, status, again, err);
}

int
sg_dynamo_ask(struct sg_dynamo *d, const char *operation, struct sg_slice body,
              struct sg_slice *answer, struct sg_err *err)
{
    char target[96], token[SG_DYNAMO_TOKEN_MAX + 32];
    struct curl_slist *headers = NULL;
    bool again;
    int rc, try;

    snprintf(target, sizeof target, "X-Amz-Target: DynamoDB_20120810.%s", operation);
    headers = curl_slist_append(headers, "Content-Type: application/x-amz-json-1.0");
    headers = curl_slist_append(headers, target);
    if (d->credentials.token[0] != '\0') {
        snprintf(token, sizeof token, "X-Amz-Security-Token: %s", d->credentials.token);
        headers = curl_slist_append(headers, token);
    }
    curl_easy_setopt(d->curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(d->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.len);
    curl_easy_setopt(d->curl, CURLOPT_POSTFIELDS, body.ptr);
    for (try = 1;; try++) {
        rc = ask_once(d, operation, &again, err);
        if (rc == 0 || !again || sg_dynamo_back_off(d, try, err) != 0)
            break;
    }
    curl_easy_setopt(d->curl, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(headers);
    if (rc == 0)
        *answer = sg_buf_slice(&d->answer);
    return rc;
}
