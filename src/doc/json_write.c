/* SPDX-License-Identifier: MIT */
#include "base/buf.h"
#include "base/encode.h"
#include "base/json_text.h"
#include "doc/internal.h"

#include <inttypes.h>
#include <stdio.h>

static bool put(const struct sg_doc *doc, struct sg_buf *out, int depth);

static void
put_escaped(struct sg_buf *out, char c)
{
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    const char *known = memchr(from, c, sizeof from - 1);
    char text[8];

    if (known != NULL)
        snprintf(text, sizeof text, "\\%c", to[known - from]);
    else
        snprintf(text, sizeof text, "\\u%04x", (unsigned)c);
    sg_buf_puts(out, text);
}

static void
put_string(struct sg_slice s, struct sg_buf *out)
{
    const char *p = s.ptr, *end = s.len != 0 ? p + s.len : p, *stop = p;

    sg_buf_add(out, sg_slice("\"", 1));
    while ((stop = sg_json_plain(stop, end)) != end) {
        /* What is beyond ASCII, and DEL, stands for itself too. */
        if ((unsigned char)*stop >= 0x20 && *stop != '"' && *stop != '\\') {
            stop++;
            continue;
        }
        sg_buf_add(out, sg_slice(p, (size_t)(stop - p)));
        put_escaped(out, *stop);
        p = ++stop;
    }
    sg_buf_add(out, sg_slice(p, (size_t)(end - p)));
    sg_buf_add(out, sg_slice("\"", 1));
}

static void
put_double(double real, struct sg_buf *out)
{
    const char *name = sg_doc_not_finite(real);
    char text[SG_DOC_DOUBLE_TEXT];

    if (name != NULL) {
        sg_buf_printf(out, "{\"$numberDouble\":\"%s\"}", name);
    } else {
        sg_doc_double_text(real, text);
        sg_buf_puts(out, text);
    }
}

static void
put_decimal(struct sg_slice text, struct sg_buf *out)
{
    struct sg_doc ignored;
    bool plain = sg_doc_from_number(text, &ignored, NULL) == 0;

    if (!plain)
        sg_buf_puts(out, "{\"$numberDecimal\":\"");
    sg_buf_add(out, text);
    if (!plain)
        sg_buf_puts(out, "\"}");
}

static void
put_bytes(const struct sg_doc *doc, struct sg_buf *out)
{
    sg_buf_puts(out, "{\"$binary\":{\"base64\":\"");
    sg_b64_add(out, doc->text, true);
    sg_buf_printf(out, "\",\"subType\":\"%02x\"}}", doc->origin);
}

static void
put_oid(struct sg_slice text, struct sg_buf *out)
{
    char hex[25];

    sg_hex((const uint8_t *)text.ptr, 12, hex);
    sg_buf_printf(out, "{\"$oid\":\"%s\"}", hex);
}

static bool
put_nested(const struct sg_doc *doc, struct sg_buf *out, int depth)
{
    bool object = doc->type == SG_DOC_OBJECT;
    uint32_t i;

    if (depth == SG_DOC_DEPTH_MAX)
        return false;
    sg_buf_add(out, sg_slice(object ? "{" : "[", 1));
    for (i = 0; i < doc->n && !out->failed; i++) {
        if (i != 0)
            sg_buf_add(out, sg_slice(",", 1));
        if (object) {
            put_string(doc->members[i].name, out);
            sg_buf_add(out, sg_slice(":", 1));
        }
        if (!put(object ? &doc->members[i].value : &doc->items[i], out, depth + 1))
            return false;
    }
    sg_buf_add(out, sg_slice(object ? "}" : "]", 1));
    return true;
}

static bool
put(const struct sg_doc *doc, struct sg_buf *out, int depth)
{
    char text[24];

    switch (doc->type) {
    case SG_DOC_NULL:
        sg_buf_puts(out, "null");
        break;
    case SG_DOC_BOOL:
        sg_buf_puts(out, doc->boolean ? "true" : "false");
        break;
    case SG_DOC_INT:
        snprintf(text, sizeof text, "%" PRId64, doc->integer);
        sg_buf_puts(out, text);
        break;
    case SG_DOC_DOUBLE:
        put_double(doc->real, out);
        break;
    case SG_DOC_DECIMAL:
        put_decimal(doc->text, out);
        break;
    case SG_DOC_STRING:
        put_string(doc->text, out);
        break;
    case SG_DOC_BYTES:
        put_bytes(doc, out);
        break;
    case SG_DOC_TIME:
        sg_buf_printf(out, "{\"$date\":{\"$numberLong\":\"%" PRId64 "\"}}", doc->integer);
        break;
    case SG_DOC_OID:
        put_oid(doc->text, out);
        break;
    case SG_DOC_OTHER:
        sg_buf_add(out, doc->text);
        break;
    case SG_DOC_ARRAY:
    case SG_DOC_OBJECT:
        return put_nested(doc, out, depth);
    }
    return true;
}

int
sg_doc_to_json(const struct sg_doc *doc, struct sg_buf *out, struct sg_err *err)
{
    if (!put(doc, out, 0))
        return sg_fail(err, SG_E_LIMIT, "document", "nested deeper than %d", SG_DOC_DEPTH_MAX);
    if (out->failed)
        return sg_fail(err, SG_E_LIMIT, "document", "its JSON text is longer than %zu bytes",
                       out->max_bytes);
    return 0;
}
