/* SPDX-License-Identifier: MIT */
#ifndef SG_SERVER_FORM_H
#define SG_SERVER_FORM_H

#include "base/buf.h"
#include "base/err.h"

/* application/x-www-form-urlencoded (RFC 6749 appendix B). */
#define SG_FORM_FIELDS_MAX 16

struct sg_form {
    struct sg_buf text; /* decoded names and values; wiped by sg_form_clear */
    int n;
    struct {
        size_t name, name_len, value, value_len; /* offsets into text */
    } fields[SG_FORM_FIELDS_MAX];
};

/* SG_E_INVALID: a broken escape, more than 16 fields, NUL, a field given twice (RFC 6749 section
 * 3.2); only resource and audience may be (RFC 8707 section 2, RFC 8693 section 2.1). */
SG_MUST_USE int sg_form_parse(struct sg_form *form, struct sg_slice body, struct sg_err *err);
/* ptr NULL where absent or empty (an empty parameter counts as omitted, section 3.1). */
struct sg_slice sg_form_get(const struct sg_form *form, const char *name);
/* The i-th of a field that may be given several times; likewise. */
struct sg_slice sg_form_nth(const struct sg_form *form, const char *name, int i);
void sg_form_clear(struct sg_form *form);

/* One encoded name or value, appended to out; -1: a broken escape, a NUL, or it does not fit. */
int sg_form_decode(struct sg_buf *out, struct sg_slice raw);

#endif
