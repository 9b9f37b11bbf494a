/* SPDX-License-Identifier: MIT */
#include "base/yaml.h"

#include "base/buf.h"
#include "base/nearest.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

#define MAX_BYTES (1 << 20)
#define MAX_DEPTH 16
#define MAX_NODES 10000

enum kind { SCALAR, SEQUENCE, MAPPING };

struct sg_yaml_node {
    struct sg_yaml *doc;
    enum kind kind;
    bool known; /* a getter asked for it */
    char *key;  /* as a member of a mapping */
    char *text; /* of a scalar; NULL for an empty plain one */
    int line, column;
    struct sg_yaml_node *first, *next;
    /* Keys asked for in this mapping, for "did you mean": a getter may ask for more than there is.
     */
    const char *asked[48];
    int n_asked;
};

struct sg_yaml {
    char *name;
    struct sg_yaml_node *nodes[MAX_NODES];
    int n_nodes;
    struct sg_yaml_node *root;
};

static int
fail_at(const struct sg_yaml *doc, int line, int column, struct sg_err *err, const char *text)
{
    char place[160];

    snprintf(place, sizeof place, "%.120s:%d:%d", doc->name, line, column);
    return sg_fail(err, SG_E_INVALID, place, "%s", text);
}

int
sg_yaml_fail(const struct sg_yaml_node *node, struct sg_err *err, const char *fmt, ...)
{
    char text[352];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return fail_at(node->doc, node->line, node->column, err, text);
}

static struct sg_yaml_node *
new_node(struct sg_yaml *doc, enum kind kind, const yaml_mark_t *mark)
{
    struct sg_yaml_node *n;

    if (doc->n_nodes == MAX_NODES || (n = calloc(1, sizeof *n)) == NULL)
        return NULL;
    doc->nodes[doc->n_nodes++] = n;
    n->doc = doc;
    n->kind = kind;
    n->line = (int)mark->line + 1;
    n->column = (int)mark->column + 1;
    return n;
}

static struct sg_yaml_node *
find(const struct sg_yaml_node *map, const char *key)
{
    struct sg_yaml_node *m;

    for (m = map->first; m != NULL; m = m->next)
        if (m->key != NULL && strcmp(m->key, key) == 0)
            return m;
    return NULL;
}

static int
next_event(struct sg_yaml *doc, yaml_parser_t *p, yaml_event_t *ev, struct sg_err *err)
{
    char text[300];

    if (yaml_parser_parse(p, ev))
        return 0;
    snprintf(text, sizeof text, "not valid YAML: %s%s%s",
             p->problem != NULL ? p->problem : "unreadable", p->context != NULL ? ", " : "",
             p->context != NULL ? p->context : "");
    return fail_at(doc, (int)p->problem_mark.line + 1, (int)p->problem_mark.column + 1, err, text);
}

static int build(struct sg_yaml *doc, yaml_parser_t *p, yaml_event_t *ev, int depth,
                 struct sg_yaml_node **out, struct sg_err *err);

/* Reads members until the collection's end event; ev is reused and deleted inside. */
static int
build_members(struct sg_yaml *doc, yaml_parser_t *p, struct sg_yaml_node *parent, int depth,
              struct sg_err *err)
{
    struct sg_yaml_node **tail = &parent->first, *member;
    yaml_event_t ev;

    for (;;) {
        char *key = NULL;
        yaml_mark_t mark;

        if (next_event(doc, p, &ev, err) != 0)
            return -1;
        if (ev.type == YAML_SEQUENCE_END_EVENT || ev.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&ev);
            return 0;
        }
        mark = ev.start_mark;
        if (parent->kind == MAPPING) {
            if (ev.type != YAML_SCALAR_EVENT) {
                yaml_event_delete(&ev);
                return fail_at(doc, (int)mark.line + 1, (int)mark.column + 1, err,
                               "expected a plain key");
            }
            key = strdup((char *)ev.data.scalar.value);
            yaml_event_delete(&ev);
            if (key == NULL)
                return sg_fail(err, SG_E_INTERNAL, doc->name, "out of memory");
            if (find(parent, key) != NULL) {
                char text[160];

                snprintf(text, sizeof text, "key '%.80s' is given twice", key);
                free(key);
                return fail_at(doc, (int)mark.line + 1, (int)mark.column + 1, err, text);
            }
            if (next_event(doc, p, &ev, err) != 0) {
                free(key);
                return -1;
            }
        }
        if (build(doc, p, &ev, depth + 1, &member, err) != 0) {
            free(key);
            return -1;
        }
        if (key != NULL) {
            member->line = (int)mark.line + 1;
            member->column = (int)mark.column + 1;
        }
        member->key = key;
        *tail = member;
        tail = &member->next;
    }
}

static int
build(struct sg_yaml *doc, yaml_parser_t *p, yaml_event_t *ev, int depth, struct sg_yaml_node **out,
      struct sg_err *err)
{
    enum kind kind = ev->type == YAML_SCALAR_EVENT           ? SCALAR
                     : ev->type == YAML_SEQUENCE_START_EVENT ? SEQUENCE
                                                             : MAPPING;
    struct sg_yaml_node *n = new_node(doc, kind, &ev->start_mark);
    int line = (int)ev->start_mark.line + 1, column = (int)ev->start_mark.column + 1;
    bool alias = ev->type == YAML_ALIAS_EVENT;

    if (n != NULL && kind == SCALAR &&
        !(ev->data.scalar.length == 0 && ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE))
        n->text = strdup((char *)ev->data.scalar.value);
    yaml_event_delete(ev);
    if (alias)
        return fail_at(doc, line, column, err, "anchors and aliases are not taken: write it out");
    if (n == NULL || depth > MAX_DEPTH)
        return fail_at(doc, line, column, err, "too large: 10,000 values and 16 levels are taken");
    if (kind != SCALAR && build_members(doc, p, n, depth, err) != 0)
        return -1;
    *out = n;
    return 0;
}

static int
parse_document(struct sg_yaml *doc, yaml_parser_t *p, struct sg_err *err)
{
    yaml_event_t ev;

    for (;;) {
        if (next_event(doc, p, &ev, err) != 0)
            return -1;
        if (ev.type == YAML_STREAM_START_EVENT || ev.type == YAML_DOCUMENT_START_EVENT) {
            yaml_event_delete(&ev);
            continue;
        }
        if (ev.type == YAML_STREAM_END_EVENT) {
            yaml_event_delete(&ev);
            return fail_at(doc, 1, 1, err, "the file is empty");
        }
        return build(doc, p, &ev, 0, &doc->root, err);
    }
}

int
sg_yaml_parse(const char *name, const char *text, size_t len, struct sg_yaml **out,
              struct sg_err *err)
{
    struct sg_yaml *doc = calloc(1, sizeof *doc);
    yaml_parser_t parser;
    int rc;

    if (doc == NULL || (doc->name = strdup(name)) == NULL || !yaml_parser_initialize(&parser)) {
        sg_yaml_free(doc);
        return sg_fail(err, SG_E_INTERNAL, name, "out of memory");
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
    rc = parse_document(doc, &parser, err);
    yaml_parser_delete(&parser);
    if (rc != 0) {
        sg_yaml_free(doc);
        return -1;
    }
    *out = doc;
    return 0;
}

int
sg_yaml_load(const char *path, struct sg_yaml **out, struct sg_err *err)
{
    FILE *f = fopen(path, "rb");
    char *text;
    size_t n;
    int rc;

    if (f == NULL)
        return sg_fail(err, SG_E_NOT_FOUND, path, "cannot open the file: %s", strerror(errno));
    if ((text = malloc(MAX_BYTES + 1)) == NULL) {
        fclose(f);
        return sg_fail(err, SG_E_INTERNAL, path, "out of memory");
    }
    n = fread(text, 1, MAX_BYTES + 1, f);
    if (ferror(f) != 0)
        rc = sg_fail(err, SG_E_INVALID, path, "cannot read the file: %s", strerror(errno));
    else if (n > MAX_BYTES)
        rc = sg_fail(err, SG_E_LIMIT, path, "larger than 1 MiB");
    else
        rc = sg_yaml_parse(path, text, n, out, err);
    fclose(f);
    free(text);
    return rc;
}

void
sg_yaml_free(struct sg_yaml *doc)
{
    int i;

    if (doc == NULL)
        return;
    for (i = 0; i < doc->n_nodes; i++) {
        free(doc->nodes[i]->key);
        free(doc->nodes[i]->text);
        free(doc->nodes[i]);
    }
    free(doc->name);
    free(doc);
}

struct sg_yaml_node *
sg_yaml_root(struct sg_yaml *doc)
{
    doc->root->known = true;
    return doc->root;
}

struct sg_yaml_node *
sg_yaml_get(struct sg_yaml_node *map, const char *key)
{
    struct sg_yaml_node *m;

    if (map == NULL || map->kind != MAPPING)
        return NULL;
    if (map->n_asked < (int)(sizeof map->asked / sizeof map->asked[0]))
        map->asked[map->n_asked++] = key;
    if ((m = find(map, key)) != NULL)
        m->known = true;
    return m;
}

struct sg_yaml_node *
sg_yaml_item(struct sg_yaml_node *node, int i)
{
    struct sg_yaml_node *m = node != NULL ? node->first : NULL;

    while (m != NULL && i-- > 0)
        m = m->next;
    if (m != NULL)
        m->known = true;
    return m;
}

const char *
sg_yaml_key(const struct sg_yaml_node *node)
{
    return node->key;
}

bool
sg_yaml_is_map(const struct sg_yaml_node *node)
{
    return node != NULL && node->kind == MAPPING;
}

bool
sg_yaml_is_seq(const struct sg_yaml_node *node)
{
    return node != NULL && node->kind == SEQUENCE;
}

/* Finds a scalar member. 0: found, *text set; 1: absent and has_fallback; -1: error. */
static int
scalar(struct sg_yaml_node *map, const char *key, const char *expected, bool has_fallback,
       struct sg_yaml_node **node, struct sg_err *err)
{
    if (map == NULL || map->kind != MAPPING)
        return map == NULL ? sg_fail(err, SG_E_INVALID, "config", "key '%s' is missing", key)
                           : sg_yaml_fail(map, err, "expected a mapping with key '%s'", key);
    *node = sg_yaml_get(map, key);
    if (*node == NULL && has_fallback)
        return 1;
    if (*node == NULL)
        return sg_yaml_fail(map, err, "key '%s' is missing: expected %s", key, expected);
    if ((*node)->kind != SCALAR || (*node)->text == NULL)
        return sg_yaml_fail(*node, err, "key '%s': expected %s", key, expected);
    return 0;
}

int
sg_yaml_string(struct sg_yaml_node *map, const char *key, const char *fallback, const char **out,
               struct sg_err *err)
{
    struct sg_yaml_node *n;
    int rc = scalar(map, key, "a string", fallback != NULL, &n, err);

    if (rc == 0)
        *out = n->text;
    else if (rc == 1)
        *out = fallback;
    return rc < 0 ? -1 : 0;
}

int
sg_yaml_int(struct sg_yaml_node *map, const char *key, int64_t least, int64_t most,
            const int64_t *fallback, int64_t *out, struct sg_err *err)
{
    struct sg_yaml_node *n;
    int rc = scalar(map, key, "a whole number", fallback != NULL, &n, err);
    long long v;
    char *end;

    if (rc != 0) {
        if (rc == 1)
            *out = *fallback;
        return rc < 0 ? -1 : 0;
    }
    errno = 0;
    v = strtoll(n->text, &end, 10);
    if (errno != 0 || *end != '\0' || end == n->text || v < least || v > most)
        return sg_yaml_fail(n, err,
                            "key '%s': expected a whole number from %lld to %lld, not '%.60s'", key,
                            (long long)least, (long long)most, n->text);
    *out = v;
    return 0;
}

int
sg_yaml_double(struct sg_yaml_node *map, const char *key, double least, double most,
               const double *fallback, double *out, struct sg_err *err)
{
    struct sg_yaml_node *n;
    int rc = scalar(map, key, "a number", fallback != NULL, &n, err);
    char *end;
    double v;

    if (rc != 0) {
        if (rc == 1)
            *out = *fallback;
        return rc < 0 ? -1 : 0;
    }
    v = strtod(n->text, &end);
    if (*end != '\0' || end == n->text || !(v >= least && v <= most))
        return sg_yaml_fail(n, err, "key '%s': expected a number from %g to %g, not '%.60s'", key,
                            least, most, n->text);
    *out = v;
    return 0;
}

int
sg_yaml_bool(struct sg_yaml_node *map, const char *key, const bool *fallback, bool *out,
             struct sg_err *err)
{
    struct sg_yaml_node *n;
    int rc = scalar(map, key, "true or false", fallback != NULL, &n, err);

    if (rc != 0) {
        if (rc == 1)
            *out = *fallback;
        return rc < 0 ? -1 : 0;
    }
    if (strcmp(n->text, "true") != 0 && strcmp(n->text, "false") != 0)
        return sg_yaml_fail(n, err, "key '%s': expected true or false, not '%.60s'", key, n->text);
    *out = n->text[0] == 't';
    return 0;
}

int
sg_yaml_duration_ms(struct sg_yaml_node *map, const char *key, int64_t least, int64_t most,
                    const int64_t *fallback, int64_t *out, struct sg_err *err)
{
    static const struct {
        const char *name;
        int64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    struct sg_yaml_node *n;
    int rc =
        scalar(map, key, "a duration such as 250ms, 2s, 15m, 8h, 30d", fallback != NULL, &n, err);
    char *end;
    long long v;
    size_t i;

    if (rc != 0) {
        if (rc == 1)
            *out = *fallback;
        return rc < 0 ? -1 : 0;
    }
    errno = 0;
    v = strtoll(n->text, &end, 10);
    for (i = 0; i < sizeof units / sizeof units[0]; i++)
        if (errno == 0 && end != n->text && strcmp(end, units[i].name) == 0 &&
            v <= most / units[i].ms && v * units[i].ms >= least) {
            *out = v * units[i].ms;
            return 0;
        }
    return sg_yaml_fail(
        n, err,
        "key '%s': expected a duration from %lldms to %lldms such as 250ms, 2s, 15m, "
        "8h, 30d, not '%.60s'",
        key, (long long)least, (long long)most, n->text);
}

int
sg_yaml_word(struct sg_yaml_node *map, const char *key, const char *const *words, int fallback,
             int *out, struct sg_err *err)
{
    struct sg_buf list = SG_BUF_INIT(256);
    struct sg_yaml_node *n;
    int rc = scalar(map, key, "a word", fallback >= 0, &n, err), i;

    if (rc != 0) {
        if (rc == 1)
            *out = fallback;
        return rc < 0 ? -1 : 0;
    }
    for (i = 0; words[i] != NULL; i++) {
        if (strcmp(words[i], n->text) == 0) {
            *out = i;
            sg_buf_free(&list);
            return 0;
        }
        sg_buf_printf(&list, "%s%s", i > 0 ? ", " : "", words[i]);
    }
    sg_yaml_fail(n, err, "key '%s': expected one of %s, not '%.60s'", key, list.ptr, n->text);
    sg_buf_free(&list);
    return -1;
}

int
sg_yaml_text(struct sg_yaml_node *node, const char **out, struct sg_err *err)
{
    if (node->kind != SCALAR || node->text == NULL)
        return sg_yaml_fail(node, err, "expected a string");
    *out = node->text;
    return 0;
}

static int
check_unknown(const struct sg_yaml_node *node, struct sg_err *err)
{
    const struct sg_yaml_node *m;

    for (m = node->first; m != NULL; m = m->next) {
        if (!m->known && m->key != NULL) {
            const char *near = NULL;
            int i, best = SG_NEAREST_LIMIT;

            for (i = 0; i < node->n_asked; i++) {
                int d = sg_edit_distance(m->key, node->asked[i]);

                if (d < best) {
                    best = d;
                    near = node->asked[i];
                }
            }
            return near != NULL ? sg_yaml_fail(m, err, "unknown key '%.60s': did you mean '%s'?",
                                               m->key, near)
                                : sg_yaml_fail(m, err, "unknown key '%.60s'", m->key);
        }
        if (check_unknown(m, err) != 0)
            return -1;
    }
    return 0;
}

int
sg_yaml_check_unknown(struct sg_yaml *doc, struct sg_err *err)
{
    return check_unknown(doc->root, err);
}
