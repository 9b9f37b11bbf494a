/* SPDX-License-Identifier: MIT */
#include "server/oauth.h"

#include <strings.h>

void
oauth_no_store(struct exchange *x)
{
    if (x->request != NULL)
        sg_http_add_header(x->request, "Cache-Control", sg_str("no-store"));
}

void
oauth_answer_failure(struct exchange *x, const struct sg_token_out *out)
{
    switch (out->status) {
    case SG_TOKEN_OK:
        break;
    case SG_TOKEN_INVALID_REQUEST:
        server_answer_error(x, 400, "invalid_request", out->why);
        break;
    case SG_TOKEN_INVALID_GRANT:
        server_answer_error(x, 400, "invalid_grant", out->why);
        break;
    case SG_TOKEN_CLIENT_DISABLED:
        server_answer_error(x, 400, "unauthorized_client", out->why);
        break;
    case SG_TOKEN_INVALID_SCOPE:
        server_answer_error(x, 400, "invalid_scope", out->why);
        break;
    case SG_TOKEN_INVALID_TARGET:
        server_answer_error(x, 400, "invalid_target", out->why);
        break;
    case SG_TOKEN_NOT_ENABLED:
        server_answer_error(x, 400, "temporarily_unavailable",
                            "no access token is handed to this subject now: go on with the "
                            "session token");
        break;
    case SG_TOKEN_UNAVAILABLE:
        server_answer_error(x, 503, "temporarily_unavailable", out->why);
        break;
    }
}

void
oauth_refuse_client(struct exchange *x, const char *why)
{
    struct sg_buf challenge = SG_BUF_INIT(256);

    sg_buf_printf(&challenge, "Basic realm=\"%s\", charset=\"UTF-8\"",
                  sg_realm_config(x->realm)->name);
    sg_http_add_header(x->request, "WWW-Authenticate", sg_buf_slice(&challenge));
    sg_buf_free(&challenge);
    server_answer_error(x, 401, "invalid_client", why);
}

/* With or without parameters, as "; charset=UTF-8". */
static bool
is_form(struct sg_slice type)
{
    static const char form[] = "application/x-www-form-urlencoded";
    size_t n = sizeof form - 1;

    return type.len >= n && strncasecmp(type.ptr, form, n) == 0 &&
           (type.len == n || type.ptr[n] == ';' || type.ptr[n] == ' ');
}

/* A target is logged by every proxy on the way (RFC 6749 section 2.3.1, RFC 6750 section 5.3). */
static bool
has_secret_in_target(struct exchange *x)
{
    static const char *const names[] = {"client_secret", "token", "subject_token", "refresh_token",
                                        "access_token"};
    size_t i;

    for (i = 0; i < sizeof names / sizeof names[0]; i++)
        if (sg_http_query(x->request, names[i]).ptr != NULL)
            return true;
    return false;
}

const struct sg_client_config *
oauth_open(struct exchange *x, struct sg_form *form)
{
    struct sg_slice authorization = sg_http_header(x->request, "Authorization");
    const struct sg_client_config *client;
    const char *conflict;
    struct sg_err err;

    *form = (struct sg_form){0};
    if (!is_form(sg_http_header(x->request, "Content-Type"))) {
        server_answer_error(x, 400, "invalid_request",
                            "the body is to be application/x-www-form-urlencoded");
        return NULL;
    }
    if (has_secret_in_target(x)) {
        server_answer_error(x, 400, "invalid_request",
                            "tokens and secrets belong into the body, not into the target");
        return NULL;
    }
    if (sg_form_parse(form, sg_http_body(x->request), &err) != 0) {
        server_answer_error(x, 400, "invalid_request", err.text);
        return NULL;
    }
    if ((conflict = client_conflict(authorization, form)) != NULL) {
        server_answer_error(x, 400, "invalid_request", conflict);
        return NULL;
    }
    client = client_authenticate(sg_realm_config(x->realm), authorization, form);
    if (client == NULL)
        oauth_refuse_client(x, "unknown client, or a secret that is wrong or missing");
    return client;
}
