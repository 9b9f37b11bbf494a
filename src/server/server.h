/* SPDX-License-Identifier: MIT */
#ifndef SG_SERVER_SERVER_H
#define SG_SERVER_SERVER_H

#include "config/config.h"
#include "event/http.h"
#include "session/engine.h"

/* The HTTP interface (docs/api.md) of one loop over its engine. */
struct sg_server;

struct sg_server_options {
    const struct sg_config *config;
    const char *listen;
    const struct sg_server
        *share; /* of another loop not yet running: listen on its socket; or NULL */
    /* One line a request that was refused or failed, and what else is worth telling. The layer does
     * not log. */
    void (*event)(void *ctx, bool bad, const char *what, const char *request_id,
                  const struct sg_err *err);
    void *ctx;
};

SG_MUST_USE int sg_server_open(uv_loop_t *loop, const struct sg_clock *clock,
                               struct sg_engine *engine, const struct sg_server_options *options,
                               struct sg_server **out, struct sg_err *err);
int sg_server_port(const struct sg_server *server);

/* Stops accepting, lets open requests finish until the deadline, then closes. */
void sg_server_drain(struct sg_server *server, uint64_t deadline_ns, void (*drained)(void *ctx),
                     void *ctx);

#endif
