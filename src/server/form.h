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

/* SG_E_INVALID: a broken escape, more than 16 fields, a field given twice (RFC 6749 section 3.2),
 * NUL. */
SG_MUST_USE int sg_form_parse(struct sg_form *form, struct sg_slice body, struct sg_err *err);
/* ptr NULL where absent or empty (an empty parameter counts as omitted, section 3.1). */
struct sg_slice sg_form_get(const struct sg_form *form, const char *name);
void sg_form_clear(struct sg_form *form);

#endif
