/* SPDX-License-Identifier: MIT */
#ifndef SG_EVENT_HTTP_H
#define SG_EVENT_HTTP_H

#include "base/clock.h"
#include "base/err.h"
#include "base/slice.h"

#include <stdint.h>
#include <uv.h>

/* An HTTP/1.1 server on one event loop: libmicrohttpd in external-epoll mode, its epoll descriptor
 * polled by libuv. The handler gets each complete request once and answers it then or later, from
 * the loop's thread. */
struct sg_http;
struct sg_http_request; /* lives from the handler's call until sg_http_answer returns */

struct sg_http_options {
    const char *address; /* "127.0.0.1:8080", "[::1]:0" or "unix:/path"; loopback or Unix only
                            unless allow_any */
    bool allow_any;
    bool reuse_port; /* several loops on one TCP port */
    /* Take the listening socket of this one, of another loop not yet running, instead of binding:
     * Unix sockets have no reuse_port. address must be the same. May be NULL. */
    const struct sg_http *share;
    int max_connections;   /* one more is refused at accept */
    size_t max_body_bytes; /* larger: 413 */
    /* Pool a connection. It holds the request's headers, cookies once more, and the answer's
     * headers. A request that does not fit gets 431 (in 8 KiB a 4,000-byte cookie does not); where
     * the answer does not fit beside it, that is 431 too, or 500 where the request is the smaller
     * half: 16 KiB takes 4 KiB of cookies and 6 KiB of answer. */
    size_t memory_bytes;
    int idle_timeout_ms; /* silent or stalled connection; rounded up to seconds */
    /* A dripper is cut: a request must be complete, body included, this long after accept or after
     * its request line; on a kept connection whose request line does not even end, idle_timeout_ms
     * later. Looked at each 250 ms. */
    int header_deadline_ms;
    void (*handler)(void *ctx, struct sg_http_request *request);
    /* Called instead of an answer when the peer has gone (looked at each 250 ms) or the server
     * closes while a request is open: the request dies right after, the owner must forget it. What
     * its work then is worth the owner knows: a logout goes on. May be NULL. */
    void (*aborted)(void *ctx, struct sg_http_request *request);
    void *ctx;
};

/* A port in use is an error that says so and names the address. */
SG_MUST_USE int sg_http_open(uv_loop_t *loop, const struct sg_clock *clock,
                             const struct sg_http_options *options, struct sg_http **out,
                             struct sg_err *err);

/* The port bound (for ":0"). */
int sg_http_port(const struct sg_http *http);

/* Stops accepting at a next turn of the loop, answers with Connection: close, and when the last
 * request is answered or the deadline has passed, whichever is first, closes every connection
 * (`aborted` for what is still open). drained is called last, when all is freed: the loop must run
 * until then. A Unix socket's file is removed unless a successor has replaced it. */
void sg_http_drain(struct sg_http *http, uint64_t deadline_ns, void (*drained)(void *ctx),
                   void *ctx);

/* Refused with 400 and a closed connection before the handler sees them: Content-Length with
 * Transfer-Encoding, two Content-Length, two Host or none, two Authorization, any transfer coding
 * but "chunked", a line that ends in other than CR LF, a folded line, a control character in a
 * value, a name that is no token, a target that does not start with '/', a broken escape or a NUL
 * in it. */

const char *sg_http_method(const struct sg_http_request *r);
const char *sg_http_path(const struct sg_http_request *r); /* percent-decoded, without query */
/* The first query parameter of that name, form-decoded ('+' is a space); ptr NULL where absent. */
struct sg_slice sg_http_query(struct sg_http_request *r, const char *name);
/* The first header of that name, any case; ptr NULL where absent. sg_http_headers_n counts them. */
struct sg_slice sg_http_header(const struct sg_http_request *r, const char *name);
int sg_http_headers_n(const struct sg_http_request *r, const char *name);
/* The last of that name: what the nearest proxy added, behind whatever the client sent. */
struct sg_slice sg_http_header_last(const struct sg_http_request *r, const char *name);
/* The peer's address as text, "192.0.2.1" or "2001:db8::1"; "" for a Unix socket. */
#define SG_HTTP_PEER_MAX 46
void sg_http_peer(const struct sg_http_request *r, char out[SG_HTTP_PEER_MAX]);
struct sg_slice sg_http_body(const struct sg_http_request *r);

/* Something of the owner's, carried along (an operation under way). */
void sg_http_set_owner(struct sg_http_request *r, void *owner);
void *sg_http_owner(const struct sg_http_request *r);

/* Adds a header to the coming answer: copied; 32 KiB in all, above which 500 is answered. A value
 * with CR, LF or NUL is refused by assertion. */
void sg_http_add_header(struct sg_http_request *r, const char *name, struct sg_slice value);

/* Answers; body is copied; with an empty body Content-Length: 0 is sent (keep-alive stays usable).
 * The request is gone after this. */
void sg_http_answer(struct sg_http_request *r, int status, struct sg_slice body);

/* Counters since open, for metrics. */
struct sg_http_stats {
    uint64_t connections, requests, refused;
    int open_connections, open_requests;
};
struct sg_http_stats sg_http_stats(const struct sg_http *http);

#endif
