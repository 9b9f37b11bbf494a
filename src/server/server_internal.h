/* SPDX-License-Identifier: MIT */
#ifndef SG_SERVER_SERVER_INTERNAL_H
#define SG_SERVER_SERVER_INTERNAL_H

#include "server/server.h"

#define REQUEST_ID_MAX 64

/* One request under way. request becomes NULL when the client has gone: then the answer is dropped.
 */
struct exchange {
    struct sg_server *server;
    struct sg_http_request *request;
    struct sg_realm *realm;
    char id[REQUEST_ID_MAX + 1];
    const char *client; /* of the configuration: who changes a subject */
    const char *tail; /* of the path, behind a route that ends in '/', until its handler returns */
};

struct sg_server {
    struct sg_engine *engine;
    const struct sg_clock *clock;
    struct sg_server_options options;
    struct sg_http *http;
    uint64_t started_ns;
    uint64_t answers[6]; /* by the status' first digit */
};

/* Adds the headers every answer has, answers, and frees the exchange. */
void server_answer(struct exchange *x, int status, struct sg_slice body);
/* The same with a JSON body; takes over the reference (json may be NULL: out of memory). */
struct json_t;
void server_answer_json(struct exchange *x, int status, struct json_t *json);
/* RFC 6749 section 5.2. */
void server_answer_error(struct exchange *x, int status, const char *error,
                         const char *description);

void server_event(struct exchange *x, bool bad, const char *what, const struct sg_err *err);

/* routes_*.c */
void route_verify(struct exchange *x);
void route_token(struct exchange *x);
void route_introspect(struct exchange *x);
void route_revoke(struct exchange *x);
void route_sessions(struct exchange *x);
void route_login(struct exchange *x);
void route_sessions_list(struct exchange *x);
void route_sessions_end_all(struct exchange *x);
void route_session_end(struct exchange *x);
void route_subject_get(struct exchange *x);
void route_subject_patch(struct exchange *x);
void route_subjects_changed(struct exchange *x);
void route_jwks(struct exchange *x);
void route_metadata(struct exchange *x);
void route_healthz(struct exchange *x);
void route_readyz(struct exchange *x);
void route_metrics(struct exchange *x);

/* What several of them ask of a request. A matching Origin, or without one a Sec-Fetch-Site of the
 * site itself (routes_verify.c). */
bool request_is_same_site(const struct exchange *x);
/* The client's own string for an audience, or NULL where it has none such; empty: its first
 * (routes_token.c). */
const char *request_audience(const struct sg_client_config *client, struct sg_slice wanted);
/* Members of a token answer (routes_token.c). */
struct sg_token_out;
struct json_t *request_token_json(const struct sg_token_out *out);

#endif
