/* SPDX-License-Identifier: MIT */
#include "base/buf.h"
#include "identity/identity.h"

#include <string.h>
#include <strings.h>

static const char place[] = "names";

void
sg_names_clear(struct sg_names *names)
{
    names->n = 0;
    names->used = 0;
}

void
sg_names_copy(struct sg_names *to, const struct sg_names *from)
{
    int i;

    if (to == from)
        return;
    to->n = from->n;
    to->used = from->used;
    memcpy(to->text, from->text, from->used);
    for (i = 0; i < from->n; i++)
        to->name[i] = to->text + (from->name[i] - from->text);
}

int
sg_names_add(struct sg_names *names, struct sg_slice name, struct sg_err *err)
{
    size_t i;
    int k;

    if (name.len == 0)
        return sg_fail(err, SG_E_INVALID, place, "a name is empty");
    for (i = 0; i < name.len; i++)
        if ((unsigned char)name.ptr[i] < ' ' || name.ptr[i] == 0x7f)
            return sg_fail(err, SG_E_INVALID, place, "a name holds a control character");
    for (k = 0; k < names->n; k++)
        if (sg_slice_eq(sg_str(names->name[k]), name))
            return 0;
    if (names->n == SG_ROLES_MAX || name.len >= sizeof names->text - names->used)
        return sg_fail(err, SG_E_LIMIT, place, "more than %d names or %d bytes of them",
                       SG_ROLES_MAX, SG_NAMES_BYTES);
    memcpy(names->text + names->used, name.ptr, name.len);
    names->text[names->used + name.len] = '\0';
    names->name[names->n++] = names->text + names->used;
    names->used += name.len + 1;
    return 0;
}

/* One element up to its ',' or '}'. *at moves behind it, not behind the delimiter. */
static int
read_element(struct sg_slice s, size_t *at, char *out, size_t *len, struct sg_err *err)
{
    bool quoted = *at < s.len && s.ptr[*at] == '"', open = quoted;
    size_t n = 0, i = *at + quoted;

    for (; i < s.len; i++) {
        char c = s.ptr[i];

        if (open && c == '"') {
            open = false;
            i++;
            break;
        }
        if (!open && (c == ',' || c == '}'))
            break;
        if (!open && (c == '{' || c == '"'))
            return sg_fail(err, SG_E_INVALID, place, "expected a one-dimensional array");
        if (c == '\\' && ++i < s.len)
            c = s.ptr[i];
        if (n == SG_NAMES_BYTES)
            return sg_fail(err, SG_E_LIMIT, place, "a name above %d bytes", SG_NAMES_BYTES);
        out[n++] = c;
    }
    if (open)
        return sg_fail(err, SG_E_INVALID, place, "an array literal ends within quotes");
    if (!quoted && n == 4 && strncasecmp(out, "NULL", 4) == 0)
        return sg_fail(err, SG_E_INVALID, place, "an array holds NULL");
    *at = i;
    *len = n;
    return 0;
}

int
sg_names_from_array(struct sg_names *names, struct sg_slice literal, struct sg_err *err)
{
    struct sg_names read;
    char element[SG_NAMES_BYTES];
    size_t at = 1, len = 0;

    sg_names_clear(&read);
    if (literal.len < 2 || literal.ptr[0] != '{' || literal.ptr[literal.len - 1] != '}')
        return sg_fail(err, SG_E_INVALID, place, "expected an array literal like {a,b}");
    if (literal.len > 2) {
        for (;;) {
            if (read_element(literal, &at, element, &len, err) != 0 ||
                sg_names_add(&read, sg_slice(element, len), err) != 0)
                return -1;
            if (at >= literal.len || literal.ptr[at] != ',')
                break;
            at++;
        }
        if (at != literal.len - 1)
            return sg_fail(err, SG_E_INVALID, place, "expected ',' or '}' at byte %zu", at);
    }
    sg_names_copy(names, &read);
    return 0;
}

void
sg_names_to_array(const struct sg_names *names, struct sg_buf *out)
{
    int i;

    sg_buf_puts(out, "{");
    for (i = 0; i < names->n; i++) {
        const char *c;

        sg_buf_puts(out, i > 0 ? ",\"" : "\"");
        for (c = names->name[i]; *c != '\0'; c++) {
            if (*c == '"' || *c == '\\')
                sg_buf_puts(out, "\\");
            sg_buf_add(out, sg_slice(c, 1));
        }
        sg_buf_puts(out, "\"");
    }
    sg_buf_puts(out, "}");
}
