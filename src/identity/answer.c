/* SPDX-License-Identifier: MIT */
#include "identity/answer.h"
#include "identity/path.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

static const char place[] = "answer";

static int
expected(const char *path, const char *what, struct sg_err *err)
{
    return sg_fail(err, SG_E_INVALID, place, "at '%.100s': expected %s", path, what);
}

/* A string or a whole number as text. */
static int
read_text(const json_t *root, const char *path, const char *what, char *out, size_t cap,
          struct sg_err *err)
{
    const json_t *v = sg_json_at(root, path);
    char number[24];
    const char *text = number;

    if (json_is_integer(v))
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(v));
    else
        text = json_string_value(v);
    if (text == NULL || *text == '\0' || strlen(text) >= cap)
        return expected(path, what, err);
    memcpy(out, text, strlen(text) + 1);
    return 0;
}

static int
read_names(const json_t *root, const char *path, struct sg_names *out, struct sg_err *err)
{
    const json_t *list, *item;
    struct sg_err why;
    size_t i;

    sg_names_clear(out);
    if (*path == '\0')
        return 0;
    list = sg_json_at(root, path);
    if (json_is_null(list))
        return 0;
    if (!json_is_array(list))
        return expected(path, "an array of strings, or null", err);
    json_array_foreach(list, i, item)
    {
        const char *text = json_string_value(item);

        if (text == NULL)
            return expected(path, "nothing but strings", err);
        if (sg_names_add(out, sg_str(text), &why) != 0)
            return sg_fail(err, why.code, place, "at '%.100s': %.200s", path, why.text);
    }
    return 0;
}

static int
read_attributes(const json_t *root, const char *path, struct sg_identity *out, struct sg_err *err)
{
    const json_t *v = *path != '\0' ? sg_json_at(root, path) : NULL;
    struct sg_err why;
    char *text;
    int rc;

    out->attributes[0] = '\0';
    if (*path == '\0' || json_is_null(v))
        return 0;
    if (!json_is_object(v))
        return expected(path, "an object, or null", err);
    text = json_dumps(v, JSON_COMPACT);
    rc = sg_identity_set_attributes(out, sg_str(text), &why);
    free(text);
    return rc == 0 ? 0 : sg_fail(err, why.code, place, "at '%.100s': %.200s", path, why.text);
}

static int
read_identity(const struct sg_identity_paths *p, const json_t *root, struct sg_identity *out,
              struct sg_err *err)
{
    const json_t *version = sg_json_at(root, p->version);
    const json_t *active = *p->active != '\0' ? sg_json_at(root, p->active) : NULL;

    if (read_text(root, p->subject, "a string of 1 to 200 bytes, or a whole number", out->subject,
                  sizeof out->subject, err) != 0)
        return -1;
    if (*p->active != '\0' && !json_is_boolean(active))
        return expected(p->active, "true or false", err);
    out->active = *p->active == '\0' || json_is_true(active);
    if (!json_is_integer(version) || json_integer_value(version) < 0)
        return expected(p->version, "a whole number of 0 or more", err);
    out->version = json_integer_value(version);
    return read_names(root, p->roles, &out->roles, err) != 0 ||
                   read_names(root, p->permissions, &out->permissions, err) != 0 ||
                   read_attributes(root, p->attributes, out, err) != 0
               ? -1
               : 0;
}

static json_t *
load(struct sg_slice body, size_t most, struct sg_err *err)
{
    json_error_t why;
    json_t *root;

    if (body.len > most) {
        sg_fail(err, SG_E_LIMIT, place, "larger than %zu bytes", most);
        return NULL;
    }
    root = json_loadb(body.ptr != NULL ? body.ptr : "", body.len, JSON_REJECT_DUPLICATES, &why);
    if (root == NULL)
        sg_fail(err, SG_E_INVALID, place, "not strict JSON, at line %d, column %d", why.line,
                why.column);
    return root;
}

int
sg_identity_answer(const struct sg_identity_paths *paths, struct sg_slice body,
                   struct sg_identity *out, struct sg_err *err)
{
    json_t *root = load(body, SG_ANSWER_BYTES_MAX, err);
    struct sg_identity read;
    int rc;

    if (root == NULL)
        return -1;
    if ((rc = read_identity(paths, root, &read, err)) == 0)
        sg_identity_copy(out, &read);
    json_decref(root);
    return rc;
}

static int
read_changes(const struct sg_identity_paths *p, const json_t *root, struct sg_identity_changes *c,
             struct sg_err *err)
{
    const json_t *items = sg_json_at(root, p->items), *cursor = sg_json_at(root, p->cursor);
    char next[sizeof c->cursor];
    struct sg_err why;
    size_t n = json_array_size(items), i;

    if (!json_is_array(items))
        return expected(p->items, "an array", err);
    if (n > SG_IDENTITY_CHANGES_MAX)
        return sg_fail(err, SG_E_LIMIT, place, "at '%.100s': more than %d items", p->items,
                       SG_IDENTITY_CHANGES_MAX);
    memcpy(next, c->cursor, sizeof next);
    if ((n > 0 || (cursor != NULL && !json_is_null(cursor))) &&
        read_text(root, p->cursor, "a string of 1 to 63 bytes, or a whole number", next,
                  sizeof next, err) != 0)
        return -1;
    if ((c->items = calloc(n + 1, sizeof *c->items)) == NULL)
        return sg_fail(err, SG_E_INTERNAL, place, "out of memory");
    for (i = 0; i < n; i++)
        if (read_identity(p, json_array_get(items, i), &c->items[c->n_items], &why) == 0)
            c->n_items++;
        else if (c->n_refused++ == 0)
            c->refused = why;
    c->full = n == SG_IDENTITY_CHANGES_MAX;
    memcpy(c->cursor, next, sizeof next);
    return 0;
}

int
sg_identity_changes_answer(const struct sg_identity_paths *paths, struct sg_slice body,
                           struct sg_identity_changes *changes, struct sg_err *err)
{
    json_t *root = load(body, SG_CHANGES_BYTES_MAX, err);
    int rc;

    if (root == NULL)
        return -1;
    rc = read_changes(paths, root, changes, err);
    json_decref(root);
    return rc;
}
