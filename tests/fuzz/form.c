/* SPDX-License-Identifier: MIT */
/* What a client of the token endpoint sends: a form, and after its first NUL byte an Authorization
 * header. Names come once, values hold no NUL, and nobody is let in who does not show the secret.
 */
#include "fuzz/fuzz.h"
#include "server/client_auth.h"

#include <stdlib.h>

static const char secret[] = "0123456789abcdef";

static void
check_fields(const struct sg_form *form)
{
    int i, k;

    for (i = 0; i < form->n; i++) {
        const char *name = form->text.ptr + form->fields[i].name;
        struct sg_slice value = {form->text.ptr + form->fields[i].value, form->fields[i].value_len};
        bool may_repeat =
            sg_slice_eq(sg_slice(name, form->fields[i].name_len), sg_str("resource")) ||
            sg_slice_eq(sg_slice(name, form->fields[i].name_len), sg_str("audience"));

        fuzz_use(fuzz_touch(name, form->fields[i].name_len));
        if (value.len > 0 && memchr(value.ptr, '\0', value.len) != NULL)
            abort();
        for (k = 0; k < i && !may_repeat; k++)
            if (sg_slice_eq(
                    sg_slice(name, form->fields[i].name_len),
                    sg_slice(form->text.ptr + form->fields[k].name, form->fields[k].name_len)))
                abort();
    }
}

static bool
is_shown(struct sg_slice all)
{
    struct sg_slice shown = {secret, sizeof secret - 1};

    return all.len >= shown.len && memmem(all.ptr, all.len, shown.ptr, shown.len) != NULL;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sg_realm_config realm = {
        .clients = {{.id = "web"}, {.id = "backend", .secret = secret}}, .n_clients = 2};
    const uint8_t *nul = size > 0 ? memchr(data, 0, size) : NULL;
    size_t body = nul != NULL ? (size_t)(nul - data) : size;
    struct sg_slice header = {nul != NULL ? (const char *)nul + 1 : NULL,
                              nul != NULL ? size - body - 1 : 0};
    const struct sg_client_config *client;
    struct sg_form form;
    struct sg_err err;

    if (sg_form_parse(&form, sg_slice((const char *)data, body), &err) == 0) {
        check_fields(&form);
        fuzz_use(client_conflict(header, &form) != NULL);
        client = client_authenticate(&realm, header, &form);
        /* In a form, as it is or percent-encoded; in a header, in base64: then the form has none.
         */
        if (client == &realm.clients[1] && header.len == 0 && !is_shown(sg_buf_slice(&form.text)))
            abort();
        if (client != NULL && client != &realm.clients[0] && client != &realm.clients[1])
            abort();
    }
    sg_form_clear(&form);
    return 0;
}
