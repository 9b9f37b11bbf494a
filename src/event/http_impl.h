/* SPDX-License-Identifier: MIT */
#ifndef SG_EVENT_HTTP_IMPL_H
#define SG_EVENT_HTTP_IMPL_H

#include "base/buf.h"
#include "event/http.h"

#include <microhttpd.h>

/* Private to event/: what http.c (the server), http_request.c (one request) and http_listen.c (its
 * socket) share. */

enum sg_http_state {
    SG_HTTP_READING,   /* the request is not complete yet */
    SG_HTTP_HANDLING,  /* inside the handler */
    SG_HTTP_SUSPENDED, /* the handler will answer later */
    SG_HTTP_ANSWERED,  /* the owner is done with it */
    SG_HTTP_ABORTED,   /* the owner was told; the connection closes */
};

struct sg_http_conn {
    struct sg_http_conn *next, *prev;
    struct MHD_Connection *mhd;
    int fd;
    uint64_t deadline_ns; /* a request must be complete by then; UINT64_MAX while one is handled */
    struct sg_http_request *request;
};

struct sg_http_request {
    struct sg_http *http;
    struct sg_http_conn *conn;
    struct MHD_Connection *mhd;
    enum sg_http_state state;
    bool checked;    /* the first of MHD's calls has been */
    int refuse_with; /* status for what came in wrongly; 0: it is fine */
    const char *method;
    struct sg_buf path;  /* decoded */
    struct sg_buf query; /* decoded: name NUL value NUL … */
    struct sg_buf body;
    size_t body_seen;      /* bytes received, kept or not */
    struct sg_buf headers; /* of the answer: name NUL value NUL … */
    struct MHD_Response *response;
    int status;
    void *owner;
};

struct sg_http_request *sg_http_request_new(const char *uri, size_t max_body_bytes);
void sg_http_request_free(struct sg_http_request *r);

/* 0, or the status with which these headers are refused. */
int sg_http_check_headers(struct MHD_Connection *mhd, const char *method, const char *version,
                          size_t max_body_bytes);

/* The answer built from status, headers and body. NULL when memory ran out. */
struct MHD_Response *sg_http_build(struct sg_http_request *r, struct sg_slice body, bool close);

/* The owner has answered: http.c takes it from there. */
void sg_http_answered(struct sg_http_request *r);
bool sg_http_closing(const struct sg_http *http);
size_t sg_http_memory(const struct sg_http *http);

/* The listening socket, -1 while draining. */
int sg_http_listen_fd(const struct sg_http *http);

/* A listening, non-blocking socket, bound or shared. path[108] is filled with a Unix socket's path
 * where this is the one to remove it, else empty. */
SG_MUST_USE int sg_http_bind(const struct sg_http_options *options, int *fd, int *port, char *path,
                             struct sg_err *err);

#endif
