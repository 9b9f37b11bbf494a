/* SPDX-License-Identifier: MIT */
#include "event/http_impl.h"

#include "base/encode.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdlib.h>
#include <strings.h>

#define MAX_URI 8192
#define MAX_ANSWER_HEADERS 32768
#define ANSWER_SLACK 1536 /* status line, Date and the like, and what the pool aligns */

/* -1 on a broken escape or a NUL, which would end the text early. */
static int
decode(struct sg_buf *out, struct sg_slice text)
{
    size_t from = out->len;

    if (sg_percent_decode(out, text) != 0)
        return -1;
    return out->len > from && memchr(out->ptr + from, '\0', out->len - from) != NULL ? -1 : 0;
}

/* Form encoding (URL Standard, section 5): '+' is a space. */
static int
decode_query(struct sg_buf *out, char *text)
{
    char *pair, *save = NULL;

    for (pair = text; *pair != '\0'; pair++)
        if (*pair == '+')
            *pair = ' ';
    for (pair = strtok_r(text, "&", &save); pair != NULL; pair = strtok_r(NULL, "&", &save)) {
        size_t eq = strcspn(pair, "=");

        if (decode(out, sg_slice(pair, eq)) != 0)
            return -1;
        sg_buf_add(out, sg_slice("", 1));
        if (decode(out, sg_str(pair + eq + (pair[eq] == '='))) != 0)
            return -1;
        sg_buf_add(out, sg_slice("", 1));
    }
    return 0;
}

struct sg_http_request *
sg_http_request_new(const char *uri, size_t max_body_bytes)
{
    struct sg_http_request *r = calloc(1, sizeof *r);
    size_t path_len = strcspn(uri, "?");
    char *query = uri[path_len] == '?' ? strdup(uri + path_len + 1) : NULL;

    if (r == NULL) {
        free(query);
        return NULL;
    }
    r->path = r->query = SG_BUF_INIT(MAX_URI);
    r->headers = SG_BUF_INIT(MAX_ANSWER_HEADERS);
    r->body = SG_BUF_INIT(max_body_bytes);
    if (uri[0] != '/' || decode(&r->path, sg_slice(uri, path_len)) != 0 ||
        (query != NULL && decode_query(&r->query, query) != 0))
        r->refuse_with = MHD_HTTP_BAD_REQUEST;
    else if (r->path.failed || r->query.failed)
        r->refuse_with = MHD_HTTP_URI_TOO_LONG;
    if (query != NULL)
        explicit_bzero(query, strlen(query));
    free(query);
    return r;
}

void
sg_http_request_free(struct sg_http_request *r)
{
    if (r->response != NULL)
        MHD_destroy_response(r->response);
    /* paths, queries, bodies and answers carry tokens */
    sg_buf_wipe(&r->path);
    sg_buf_wipe(&r->query);
    sg_buf_wipe(&r->body);
    sg_buf_wipe(&r->headers);
    free(r);
}

/* ---- what is refused ---- */

struct check {
    int hosts, authorizations, lengths, codings;
    bool bad, too_large;
    size_t max_body_bytes;
    uintptr_t end; /* of the text seen last */
};

/* libmicrohttpd 0.9 ends lines at a bare CR or LF and values at a NUL, and garbles folded lines,
 * all in silence. But it leaves names and values where they came in and overwrites line ends, so
 * that a gap of other than CR LF, or a sum that is not the size of all headers, tells. Releases
 * from 1.0 on refuse these themselves, and keep the text elsewhere. */
#define GAPS_TELL (MHD_VERSION < 0x01000000)
#define LINE_END 2

static bool
is_token(const char *s, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];

        if (c <= ' ' || c >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", c) != NULL)
            return false;
    }
    return n > 0;
}

static bool
has_control(const char *s, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++)
        if (((unsigned char)s[i] < ' ' && s[i] != '\t') || s[i] == 0x7f)
            return true;
    return false;
}

static bool
same_name(const char *a, size_t n, const char *b)
{
    return strlen(b) == n && strncasecmp(a, b, n) == 0;
}

static void
check_length(struct check *c, const char *value, size_t n)
{
    uint64_t length = 0;
    size_t i;

    c->lengths++;
    if (n == 0 || n > 18)
        c->bad = true;
    for (i = 0; i < n; i++) {
        if (value[i] < '0' || value[i] > '9') {
            c->bad = true;
            return;
        }
        length = length * 10 + (uint64_t)(value[i] - '0');
    }
    if (length > c->max_body_bytes)
        c->too_large = true;
}

static enum MHD_Result
check_header(void *ctx, enum MHD_ValueKind kind, const char *key, size_t key_size,
             const char *value, size_t value_size)
{
    struct check *c = ctx;

    (void)kind;
    if (GAPS_TELL && (uintptr_t)key != c->end + LINE_END)
        c->bad = true;
    c->end = (uintptr_t)value + value_size;
    if (!is_token(key, key_size) || (value_size != 0 && has_control(value, value_size)))
        c->bad = true;
    else if (same_name(key, key_size, "host"))
        c->hosts++;
    else if (same_name(key, key_size, "authorization"))
        c->authorizations++;
    else if (same_name(key, key_size, "content-length"))
        check_length(c, value, value_size);
    else if (same_name(key, key_size, "transfer-encoding")) {
        c->codings++;
        if (!same_name(value, value_size, "chunked"))
            c->bad = true;
    }
    return MHD_YES;
}

int
sg_http_check_headers(struct MHD_Connection *mhd, const char *method, const char *version,
                      size_t max_body_bytes)
{
    struct check c = {.max_body_bytes = max_body_bytes,
                      .end = (uintptr_t)version + strlen(version)};
    const union MHD_ConnectionInfo *size =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);

    MHD_get_connection_values_n(mhd, MHD_HEADER_KIND, check_header, &c);
    if (GAPS_TELL && c.end + 2 * LINE_END - (uintptr_t)method != size->header_size)
        return MHD_HTTP_BAD_REQUEST;
    if (c.bad || c.hosts != 1 || c.authorizations > 1 || c.lengths + c.codings > 1)
        return MHD_HTTP_BAD_REQUEST;
    if (c.codings != 0 && strcmp(version, MHD_HTTP_VERSION_1_1) != 0)
        return MHD_HTTP_BAD_REQUEST;
    return c.too_large ? MHD_HTTP_CONTENT_TOO_LARGE : 0;
}

/* ---- reading ---- */

const char *
sg_http_method(const struct sg_http_request *r)
{
    return r->method;
}

const char *
sg_http_path(const struct sg_http_request *r)
{
    return r->path.ptr;
}

struct sg_slice
sg_http_body(const struct sg_http_request *r)
{
    return sg_buf_slice(&r->body);
}

struct sg_slice
sg_http_query(struct sg_http_request *r, const char *name)
{
    size_t at = 0;

    while (at < r->query.len) {
        const char *found = r->query.ptr + at, *value = found + strlen(found) + 1;

        if (strcmp(found, name) == 0)
            return sg_str(value);
        at = (size_t)(value - r->query.ptr) + strlen(value) + 1;
    }
    return sg_slice(NULL, 0);
}

struct sg_slice
sg_http_header(const struct sg_http_request *r, const char *name)
{
    const char *value = NULL;
    size_t len = 0;

    if (MHD_lookup_connection_value_n(r->mhd, MHD_HEADER_KIND, name, strlen(name), &value, &len) !=
        MHD_YES)
        return sg_slice(NULL, 0);
    return value != NULL ? sg_slice(value, len) : sg_slice("", 0);
}

struct count {
    const char *name;
    int n;
    struct sg_slice last;
};

static enum MHD_Result
count_header(void *ctx, enum MHD_ValueKind kind, const char *key, size_t key_size,
             const char *value, size_t value_size)
{
    struct count *c = ctx;

    (void)kind;
    if (same_name(key, key_size, c->name)) {
        c->n++;
        c->last = value != NULL ? sg_slice(value, value_size) : sg_slice("", 0);
    }
    return MHD_YES;
}

int
sg_http_headers_n(const struct sg_http_request *r, const char *name)
{
    struct count c = {.name = name};

    MHD_get_connection_values_n(r->mhd, MHD_HEADER_KIND, count_header, &c);
    return c.n;
}

struct sg_slice
sg_http_header_last(const struct sg_http_request *r, const char *name)
{
    struct count c = {.name = name};

    MHD_get_connection_values_n(r->mhd, MHD_HEADER_KIND, count_header, &c);
    return c.last;
}

void
sg_http_set_owner(struct sg_http_request *r, void *owner)
{
    r->owner = owner;
}

void *
sg_http_owner(const struct sg_http_request *r)
{
    return r->owner;
}

/* ---- answering ---- */

void
sg_http_add_header(struct sg_http_request *r, const char *name, struct sg_slice value)
{
    assert(is_token(name, strlen(name)));
    assert(value.len == 0 || (memchr(value.ptr, '\r', value.len) == NULL &&
                              memchr(value.ptr, '\n', value.len) == NULL &&
                              memchr(value.ptr, '\0', value.len) == NULL));
    sg_buf_add(&r->headers, sg_slice(name, strlen(name) + 1));
    sg_buf_add(&r->headers, value);
    sg_buf_add(&r->headers, sg_slice("", 1));
}

static int
add_headers(struct MHD_Response *response, const struct sg_buf *headers)
{
    size_t at = 0;

    while (at < headers->len) {
        const char *name = headers->ptr + at, *value = name + strlen(name) + 1;

        /* libmicrohttpd refuses an empty value; white space means the same (RFC 9110, 5.5) */
        if (MHD_add_response_header(response, name, *value != '\0' ? value : " ") != MHD_YES)
            return -1;
        at = (size_t)(value - headers->ptr) + strlen(value) + 1;
    }
    return 0;
}

struct MHD_Response *
sg_http_build(struct sg_http_request *r, struct sg_slice body, bool close)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(
        body.len, (void *)(body.len != 0 ? body.ptr : ""), MHD_RESPMEM_MUST_COPY);

    if (response == NULL)
        return NULL;
    if (r->headers.failed || add_headers(response, &r->headers) != 0 ||
        (close && MHD_add_response_header(response, "Connection", "close") != MHD_YES)) {
        MHD_destroy_response(response);
        return NULL;
    }
    return response;
}

/* libmicrohttpd loses an answer, and the connection with it, whose headers do not fit into the
 * connection's pool beside the request's and the cookies once more. Returns the status to say so
 * with, or 0. */
static int
overflows(const struct sg_http_request *r)
{
    const union MHD_ConnectionInfo *size =
        MHD_get_connection_info(r->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    size_t memory = sg_http_memory(r->http),
           asked = (size != NULL ? size->header_size : 0) + sg_http_header(r, "Cookie").len;

    if (asked + r->headers.len + ANSWER_SLACK <= memory)
        return 0;
    return asked > memory / 2 ? MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE
                              : MHD_HTTP_INTERNAL_SERVER_ERROR;
}

void
sg_http_answer(struct sg_http_request *r, int status, struct sg_slice body)
{
    int too_large = overflows(r);

    assert(r->state == SG_HTTP_HANDLING || r->state == SG_HTTP_SUSPENDED);
    assert(status >= 200 && status <= 599);
    if (too_large != 0) {
        sg_buf_reset(&r->headers);
        status = too_large;
        body = sg_slice(NULL, 0);
    }
    r->response = sg_http_build(r, body, sg_http_closing(r->http));
    r->status = r->response != NULL ? status : MHD_HTTP_INTERNAL_SERVER_ERROR;
    sg_http_answered(r);
}

void
sg_http_peer(const struct sg_http_request *r, char out[SG_HTTP_PEER_MAX])
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(r->mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr *peer = info != NULL ? info->client_addr : NULL;

    out[0] = '\0';
    if (peer == NULL)
        return;
    if (peer->sa_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)peer)->sin_addr, out, SG_HTTP_PEER_MAX);
    else if (peer->sa_family == AF_INET6)
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)peer)->sin6_addr, out, SG_HTTP_PEER_MAX);
}
