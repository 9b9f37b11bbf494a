/* SPDX-License-Identifier: MIT */
#include "base/words.h"

bool
sg_words_next(struct sg_slice *rest, struct sg_slice *word)
{
    size_t n = 0;

    while (rest->len > 0 && *rest->ptr == ' ')
        *rest = sg_slice(rest->ptr + 1, rest->len - 1);
    while (n < rest->len && rest->ptr[n] != ' ')
        n++;
    *word = sg_slice(rest->ptr, n);
    *rest = sg_slice(n > 0 ? rest->ptr + n : rest->ptr, rest->len - n);
    return n > 0;
}

bool
sg_words_has(struct sg_slice list, struct sg_slice word)
{
    struct sg_slice w;

    while (sg_words_next(&list, &w))
        if (sg_slice_eq(w, word))
            return true;
    return false;
}

bool
sg_words_within(struct sg_slice some, struct sg_slice all)
{
    struct sg_slice w;

    while (sg_words_next(&some, &w))
        if (!sg_words_has(all, w))
            return false;
    return true;
}

void
sg_words_add(struct sg_buf *list, struct sg_slice word)
{
    if (sg_words_has(sg_buf_slice(list), word))
        return;
    if (list->len > 0)
        sg_buf_puts(list, " ");
    sg_buf_add(list, word);
}

void
sg_words_common(struct sg_buf *list, struct sg_slice a, struct sg_slice b)
{
    struct sg_slice w;

    while (sg_words_next(&a, &w))
        if (sg_words_has(b, w))
            sg_words_add(list, w);
}

void
sg_words_add_all(struct sg_buf *list, const char *const *names)
{
    for (; *names != NULL; names++)
        sg_words_add(list, sg_str(*names));
}
