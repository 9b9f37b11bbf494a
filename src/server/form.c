/* SPDX-License-Identifier: MIT */
#include "server/form.h"

#include "base/encode.h"

int
sg_form_decode(struct sg_buf *out, struct sg_slice raw)
{
    size_t i, from = 0, at = out->len;

    for (i = 0; i <= raw.len; i++) {
        if (i < raw.len && raw.ptr[i] != '+')
            continue;
        if (sg_percent_decode(out, sg_slice(raw.ptr + from, i - from)) != 0)
            return -1;
        if (i < raw.len)
            sg_buf_puts(out, " ");
        from = i + 1;
    }
    return out->failed || (out->len > at && memchr(out->ptr + at, '\0', out->len - at) != NULL) ? -1
                                                                                                : 0;
}

static int
add_decoded(struct sg_buf *text, struct sg_slice raw, size_t *at, size_t *len)
{
    *at = text->len;
    if (sg_form_decode(text, raw) != 0)
        return -1;
    *len = text->len - *at;
    return 0;
}

static bool
may_repeat(struct sg_slice name)
{
    return sg_slice_eq(name, sg_str("resource")) || sg_slice_eq(name, sg_str("audience"));
}

static struct sg_slice
name_of(const struct sg_form *f, int i)
{
    return sg_slice(f->text.ptr + f->fields[i].name, f->fields[i].name_len);
}

int
sg_form_parse(struct sg_form *f, struct sg_slice body, struct sg_err *err)
{
    *f = (struct sg_form){.text = SG_BUF_INIT(body.len + SG_FORM_FIELDS_MAX)};
    while (body.len > 0) {
        const char *amp = memchr(body.ptr, '&', body.len), *eq;
        size_t n = amp != NULL ? (size_t)(amp - body.ptr) : body.len;
        struct sg_slice pair = sg_slice(body.ptr, n), value = {0};
        int i;

        body = sg_slice(body.ptr + n + (amp != NULL), body.len - n - (amp != NULL));
        if (pair.len == 0)
            continue;
        if ((eq = memchr(pair.ptr, '=', pair.len)) != NULL) {
            value = sg_slice(eq + 1, pair.len - (size_t)(eq - pair.ptr) - 1);
            pair.len = (size_t)(eq - pair.ptr);
        }
        if (f->n == SG_FORM_FIELDS_MAX)
            return sg_fail(err, SG_E_INVALID, "form", "more than %d parameters",
                           SG_FORM_FIELDS_MAX);
        if (add_decoded(&f->text, pair, &f->fields[f->n].name, &f->fields[f->n].name_len) != 0 ||
            add_decoded(&f->text, value, &f->fields[f->n].value, &f->fields[f->n].value_len) != 0)
            return sg_fail(err, SG_E_INVALID, "form", "a parameter is not form-urlencoded");
        f->n++;
        for (i = 0; i < f->n - 1; i++)
            if (sg_slice_eq(name_of(f, i), name_of(f, f->n - 1)) && !may_repeat(name_of(f, i)))
                return sg_fail(err, SG_E_INVALID, "form", "a parameter is given twice");
    }
    return 0;
}

struct sg_slice
sg_form_nth(const struct sg_form *f, const char *name, int nth)
{
    int i;

    for (i = 0; i < f->n; i++)
        if (sg_slice_eq(name_of(f, i), sg_str(name)) && f->fields[i].value_len > 0 && nth-- == 0)
            return sg_slice(f->text.ptr + f->fields[i].value, f->fields[i].value_len);
    return (struct sg_slice){0};
}

struct sg_slice
sg_form_get(const struct sg_form *f, const char *name)
{
    return sg_form_nth(f, name, 0);
}

void
sg_form_clear(struct sg_form *f)
{
    sg_buf_wipe(&f->text);
}
