/* SPDX-License-Identifier: MIT */
#include "session/cookie.h"

static void
add_scope(const struct sg_realm_config *c, struct sg_buf *out)
{
    sg_buf_puts(out, "; Path=/; HttpOnly; SameSite=Lax");
    if (c->legacy.cookie_secure)
        sg_buf_puts(out, "; Secure");
    if (c->legacy.cookie_domain[0] != '\0')
        sg_buf_printf(out, "; Domain=%s", c->legacy.cookie_domain);
}

size_t
sg_cookie_room(const struct sg_realm_config *c)
{
    size_t name = strlen(c->token.cookie);

    return name < SG_COOKIE_BYTES ? SG_COOKIE_BYTES - name : 0;
}

void
sg_cookie_set(const struct sg_realm_config *c, const char *token, struct sg_buf *out)
{
    sg_buf_printf(out, "%s=%s; Max-Age=%lld", c->token.cookie, token,
                  (long long)(c->session_absolute_ms / 1000));
    add_scope(c, out);
}

void
sg_cookie_remove(const struct sg_realm_config *c, struct sg_buf *out)
{
    sg_buf_printf(out, "%s=; Max-Age=0", c->token.cookie);
    add_scope(c, out);
}

void
sg_cookie_set_legacy(const struct sg_realm_config *c, const char *credential, struct sg_buf *out)
{
    sg_buf_printf(out, "%s=%s; Max-Age=%lld", c->legacy.cookie, credential,
                  (long long)(c->legacy.default_idle_ms / 1000));
    add_scope(c, out);
}
