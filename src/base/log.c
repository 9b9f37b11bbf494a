/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include "base/buf.h"
#include "base/clock.h"

#include <stdarg.h>
#include <time.h>
#include <unistd.h>

static enum sg_level least_level = SG_INFO;

void
sg_log_level(enum sg_level least)
{
    least_level = least;
}

static void
add_string(struct sg_buf *b, const char *s)
{
    sg_buf_puts(b, "\"");
    for (; *s != '\0'; s++) {
        unsigned char c = (unsigned char)*s;

        if (c == '"' || c == '\\')
            sg_buf_printf(b, "\\%c", c);
        else if (c < 0x20)
            sg_buf_printf(b, "\\u%04x", c);
        else
            sg_buf_add(b, sg_slice(s, 1));
    }
    sg_buf_puts(b, "\"");
}

void
sg_log(enum sg_level level, const char *msg, ...)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    struct sg_buf b = SG_BUF_INIT(16384);
    int64_t now = sg_wall_ms(sg_clock_system());
    time_t sec = (time_t)(now / 1000);
    const char *name, *value;
    struct tm tm;
    va_list ap;

    if (level < least_level)
        return;
    gmtime_r(&sec, &tm);
    sg_buf_printf(&b, "{\"at\":\"%04d-%02d-%02dT%02d:%02d:%02d.%03dZ\",\"level\":\"%s\",\"msg\":",
                  tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
                  (int)(now % 1000), names[level]);
    add_string(&b, msg);
    va_start(ap, msg);
    while ((name = va_arg(ap, const char *)) != NULL) {
        if ((value = va_arg(ap, const char *)) == NULL)
            continue;
        sg_buf_printf(&b, ",\"%s\":", name);
        add_string(&b, value);
    }
    va_end(ap);
    sg_buf_puts(&b, "}\n");
    if (!b.failed) {
        ssize_t n = write(STDERR_FILENO, b.ptr, b.len); /* one write a line: lines never mix */

        (void)n; /* a log that cannot be written has nowhere to say so */
    }
    sg_buf_free(&b);
}

void
sg_log_err(enum sg_level level, const char *msg, const char *request, const struct sg_err *err)
{
    sg_log(level, msg, "request", request, "code", sg_code_name(err->code), "place", err->place,
           "error", err->text, NULL);
}
