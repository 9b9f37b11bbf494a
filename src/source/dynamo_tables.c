/* SPDX-License-Identifier: MIT */
/* Which tables there are, and what must be known of one. */
#include "source/source_dynamo.h"

#include <stdio.h>

void
sg_dynamo_put_name(struct sg_buf *out, const char *name)
{
    struct sg_doc text = {.type = SG_DOC_STRING, .text = sg_str(name)};

    if (sg_doc_to_json(&text, out, NULL) != 0)
        out->failed = true;
}

int
sg_dynamo_call(struct sg_dynamo_source *s, const char *operation, const struct sg_buf *body,
               struct sg_doc *out, struct sg_err *err)
{
    struct sg_slice answer;

    if (body->failed)
        return sg_fail(err, SG_E_LIMIT, sg_dynamo_name(s->dynamo),
                       "a request of more than %zu bytes", body->max_bytes);
    if (sg_dynamo_ask(s->dynamo, operation, sg_buf_slice(body), &answer, err) != 0)
        return -1;
    sg_arena_reset(s->arena);
    return sg_doc_from_json(s->arena, answer, out, err);
}

static int
ask_of_table(struct sg_dynamo_source *s, const char *operation, const char *table,
             struct sg_doc *out, struct sg_err *err)
{
    struct sg_buf body = SG_BUF_INIT(4096);
    int rc;

    sg_buf_puts(&body, "{\"TableName\":");
    sg_dynamo_put_name(&body, table);
    sg_buf_puts(&body, "}");
    rc = sg_dynamo_call(s, operation, &body, out, err);
    sg_buf_free(&body);
    return rc;
}

const struct sg_doc *
sg_dynamo_member(const struct sg_doc *doc, const char *name, enum sg_doc_type type)
{
    const struct sg_doc *m =
        doc != NULL && doc->type == SG_DOC_OBJECT ? sg_doc_get(doc, sg_str(name)) : NULL;

    return m != NULL && m->type == type ? m : NULL;
}

static bool
copy_name(const struct sg_doc *text, char out[SG_DYNAMO_NAME_MAX + 1])
{
    if (text == NULL || text->text.len > SG_DYNAMO_NAME_MAX)
        return false;
    snprintf(out, SG_DYNAMO_NAME_MAX + 1, "%.*s", (int)text->text.len, text->text.ptr);
    return true;
}

static int
learn_keys(struct sg_dynamo_source *s, const char *table, struct sg_err *err)
{
    const struct sg_doc *described, *schema, *count;
    struct sg_doc answer;
    uint32_t i;

    if (ask_of_table(s, "DescribeTable", table, &answer, err) != 0)
        return -1;
    described = sg_dynamo_member(&answer, "Table", SG_DOC_OBJECT);
    schema = sg_dynamo_member(described, "KeySchema", SG_DOC_ARRAY);
    count = sg_dynamo_member(described, "ItemCount", SG_DOC_INT);
    s->items = count != NULL ? count->integer : -1;
    s->key[0][0] = s->key[1][0] = '\0';
    for (i = 0; schema != NULL && i < schema->n && i < 2; i++) {
        const struct sg_doc *kind = sg_dynamo_member(&schema->items[i], "KeyType", SG_DOC_STRING);
        bool range = kind != NULL && sg_slice_eq(kind->text, sg_str("RANGE"));

        if (!copy_name(sg_dynamo_member(&schema->items[i], "AttributeName", SG_DOC_STRING),
                       s->key[range]))
            break;
    }
    if (s->key[0][0] == '\0')
        return sg_fail(err, SG_E_INTERNAL, sg_dynamo_name(s->dynamo),
                       "DescribeTable told no key that can be used");
    return 0;
}

int
sg_dynamo_learn(struct sg_dynamo_source *s, const char *table, struct sg_err *err)
{
    const struct sg_doc *ttl;
    struct sg_doc answer;
    struct sg_err why;

    if (strcmp(s->table, table) == 0)
        return 0;
    s->table[0] = s->ttl[0] = '\0';
    if (strlen(table) > SG_DYNAMO_NAME_MAX)
        return sg_fail(err, SG_E_INVALID, sg_dynamo_name(s->dynamo), "no such table");
    if (learn_keys(s, table, err) != 0)
        return -1;
    if (ask_of_table(s, "DescribeTimeToLive", table, &answer, &why) == 0) {
        ttl = sg_dynamo_member(&answer, "TimeToLiveDescription", SG_DOC_OBJECT);
        if (ttl != NULL &&
            !copy_name(sg_dynamo_member(ttl, "AttributeName", SG_DOC_STRING), s->ttl))
            s->ttl[0] = '\0';
    } else if (why.retryable || why.code == SG_E_CANCELLED) {
        /* Not told to everybody, nor by every stand-in: then items do not expire. */
        *err = why;
        return -1;
    }
    snprintf(s->table, sizeof s->table, "%s", table);
    return 0;
}

static int
list_tables(struct sg_dynamo_source *s, struct sg_source_collection *out, int most, int *n,
            struct sg_err *err)
{
    const struct sg_doc *names, *last;
    char from[SG_DYNAMO_NAME_MAX + 1] = "";
    struct sg_doc answer;
    uint32_t i;

    do {
        struct sg_buf body = SG_BUF_INIT(4096);
        int rc;

        sg_buf_puts(&body, from[0] != '\0' ? "{\"ExclusiveStartTableName\":" : "{");
        if (from[0] != '\0')
            sg_dynamo_put_name(&body, from);
        sg_buf_puts(&body, "}");
        rc = sg_dynamo_call(s, "ListTables", &body, &answer, err);
        sg_buf_free(&body);
        if (rc != 0)
            return -1;
        names = sg_dynamo_member(&answer, "TableNames", SG_DOC_ARRAY);
        for (i = 0; names != NULL && i < names->n && *n < most; i++)
            if (names->items[i].type == SG_DOC_STRING && copy_name(&names->items[i], out[*n].name))
                ++*n;
        last = sg_dynamo_member(&answer, "LastEvaluatedTableName", SG_DOC_STRING);
    } while (*n < most && copy_name(last, from));
    return 0;
}

int
sg_dynamo_collections(struct sg_source *base, struct sg_source_collection *out, int most, int *n,
                      struct sg_err *err)
{
    struct sg_dynamo_source *s = sg_container_of(base, struct sg_dynamo_source, base);
    int found = 0, i;

    if (list_tables(s, out, most, &found, err) != 0)
        return -1;
    for (i = 0; i < found; i++) {
        if (sg_dynamo_learn(s, out[i].name, err) != 0)
            return -1;
        out[i].records = s->items;
    }
    *n = found;
    return 0;
}
