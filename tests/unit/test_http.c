/* SPDX-License-Identifier: MIT */
#include "event/http.h"
#include "servers.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
/* cmocka.h wants some of the above first */
#include <cmocka.h>

static uv_loop_t loop;

/* ---- a server that answers by path ---- */

struct fixture {
    struct sg_http *http;
    struct sg_http_request *held[8]; /* of /later, oldest first */
    int n_held;
    int handled, aborted;
    bool drained;
    char seen[512]; /* what the last handler call saw */
};

static void
on_request(void *ctx, struct sg_http_request *r)
{
    struct fixture *f = ctx;
    struct sg_slice q = sg_http_query(r, "q"), x = sg_http_header(r, "x-TEST");
    struct sg_slice body = sg_http_body(r);

    f->handled++;
    snprintf(f->seen, sizeof f->seen, "%s %s q=%.*s x=%.*s/%d body=%.*s", sg_http_method(r),
             sg_http_path(r), (int)q.len, q.ptr != NULL ? q.ptr : "-", (int)x.len, x.ptr,
             sg_http_headers_n(r, "X-Test"), (int)(body.len < 100 ? body.len : 100), body.ptr);
    sg_http_set_owner(r, f);
    assert_ptr_equal(sg_http_owner(r), f);
    if (strcmp(sg_http_path(r), "/later") == 0) {
        f->held[f->n_held++] = r;
        return;
    }
    if (strcmp(sg_http_path(r), "/release") == 0) /* answers another request, then itself */
        while (f->n_held > 0)
            sg_http_answer(f->held[--f->n_held], 200, sg_str("released"));
    sg_http_add_header(r, "Set-Cookie", sg_str("a=1"));
    sg_http_add_header(r, "Set-Cookie", sg_str("b=2"));
    sg_http_add_header(r, "X-Empty", sg_str(""));
    sg_http_answer(r, strcmp(sg_http_path(r), "/none") == 0 ? 204 : 200,
                   strcmp(sg_http_path(r), "/empty") == 0 ? sg_str("") : sg_str("hello"));
}

static void
on_aborted(void *ctx, struct sg_http_request *r)
{
    struct fixture *f = ctx;

    assert_ptr_equal(sg_http_owner(r), f);
    f->n_held--;
    f->aborted++;
}

static struct sg_http_options
options(struct fixture *f)
{
    return (struct sg_http_options){.address = "127.0.0.1:0",
                                    .max_connections = 20,
                                    .max_body_bytes = 1000,
                                    .memory_bytes = 8192,
                                    .idle_timeout_ms = 1000,
                                    .header_deadline_ms = 500,
                                    .handler = on_request,
                                    .aborted = on_aborted,
                                    .ctx = f};
}

static void
open_with(struct fixture *f, const struct sg_http_options *o)
{
    struct sg_err err;

    if (sg_http_open(&loop, sg_clock_system(), o, &f->http, &err) != 0)
        fail_msg("%s: %s", err.place, err.text);
}

static void
open_fixture(struct fixture *f)
{
    struct sg_http_options o;

    memset(f, 0, sizeof *f);
    o = options(f);
    open_with(f, &o);
}

static void
set_flag(void *ctx)
{
    *(bool *)ctx = true;
}

static void
start_drain(struct fixture *f, int deadline_ms)
{
    uint64_t now = sg_mono_ns(sg_clock_system());

    sg_http_drain(f->http, now + (uint64_t)deadline_ms * SG_NS_PER_MS, set_flag, &f->drained);
    assert_false(f->drained);
}

static void
close_fixture(struct fixture *f)
{
    start_drain(f, 200);
    test_run_until(&loop, &f->drained, 1000);
}

/* ---- a client on a raw socket; the loop turns while it waits ---- */

static int
dial_port(int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (connect(fd, (struct sockaddr *)&a, sizeof a) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static int
dial(const struct fixture *f)
{
    int fd = dial_port(sg_http_port(f->http));

    assert_true(fd >= 0);
    return fd;
}

static void
put(int fd, const char *text, size_t len)
{
    assert_int_equal(send(fd, text, len, MSG_NOSIGNAL), len);
}

static void
put_text(int fd, const char *text)
{
    put(fd, text, strlen(text));
}

struct answer {
    char text[16384];
    size_t len;
    bool ended; /* the peer closed */
    int status;
};

static bool
is_complete(const struct answer *a)
{
    const char *body = strstr(a->text, "\r\n\r\n"), *length = strstr(a->text, "Content-Length: ");

    if (body == NULL)
        return false;
    if (length == NULL || length > body)
        return true;
    return a->len - (size_t)(body + 4 - a->text) >= strtoul(length + 16, NULL, 10);
}

/* One answer, or what came before the connection's end or the time's. */
static struct answer *
get(int fd, int at_most_ms)
{
    static struct answer a;
    uint64_t end = uv_hrtime() + (uint64_t)at_most_ms * SG_NS_PER_MS;

    memset(&a, 0, sizeof a);
    while (uv_hrtime() < end && !is_complete(&a) && !a.ended) {
        ssize_t n;

        test_run_for(&loop, 1);
        n = recv(fd, a.text + a.len, 1, MSG_DONTWAIT);
        while (n > 0 && a.len < sizeof a.text - 2) {
            a.len += (size_t)n;
            if (is_complete(&a))
                break;
            n = recv(fd, a.text + a.len, 1, MSG_DONTWAIT);
        }
        a.ended = n == 0;
    }
    if (sscanf(a.text, "HTTP/1.1 %d", &a.status) != 1)
        a.status = 0;
    return &a;
}

static bool
ends(int fd, int at_most_ms)
{
    return get(fd, at_most_ms)->ended;
}

static const char simple[] = "GET / HTTP/1.1\r\nHost: t\r\n\r\n";
static const char later[] = "GET /later HTTP/1.1\r\nHost: t\r\n\r\n";

/* ---- answers ---- */

static void
a_connection_is_kept_and_every_header_arrives(void **state)
{
    struct fixture f;
    struct answer *a;
    int fd, i;

    open_fixture(&f);
    fd = dial(&f);
    for (i = 0; i < 3; i++) {
        put_text(fd, simple);
        a = get(fd, 1000);
        assert_int_equal(a->status, 200);
        assert_non_null(strstr(a->text, "Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n"));
        assert_non_null(strstr(a->text, "X-Empty:  \r\n"));
        assert_null(strstr(a->text, "Connection: close"));
        assert_non_null(strstr(a->text, "\r\n\r\nhello"));
    }
    put_text(fd, "GET /empty HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_non_null(strstr(get(fd, 1000)->text, "Content-Length: 0\r\n"));
    put_text(fd, "GET /none HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_int_equal(get(fd, 1000)->status, 204);
    put_text(fd, simple);
    assert_int_equal(get(fd, 1000)->status, 200);
    assert_int_equal(sg_http_stats(f.http).connections, 1);
    assert_int_equal(sg_http_stats(f.http).requests, 6);
    close(fd);
    close_fixture(&f);
}

static void
a_request_is_read_as_sent(void **state)
{
    struct fixture f;
    int fd;

    open_fixture(&f);
    fd = dial(&f);
    put_text(fd, "POST /a%20b?p=1&q=v%26+w%3d&q=2 HTTP/1.1\r\nHost: t\r\nX-Test: one\r\n"
                 "X-TEST: two\r\nContent-Length: 4\r\n\r\nbody");
    assert_int_equal(get(fd, 1000)->status, 200);
    assert_string_equal(f.seen, "POST /a b q=v& w= x=one/2 body=body");
    put_text(fd, "POST /c?q HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
                 "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
    assert_int_equal(get(fd, 1000)->status, 200);
    assert_string_equal(f.seen, "POST /c q= x=/0 body=abcde");
    close(fd);
    close_fixture(&f);
}

static void
an_answer_may_come_later_and_holds_nobody_up(void **state)
{
    struct fixture f;
    int slow, quick;

    open_fixture(&f);
    slow = dial(&f);
    quick = dial(&f);
    put_text(slow, later);
    assert_int_equal(get(slow, 50)->status, 0);
    assert_int_equal(f.n_held, 1);
    put_text(quick, simple);
    assert_int_equal(get(quick, 1000)->status, 200);
    sg_http_answer(f.held[--f.n_held], 403, sg_str("late"));
    assert_int_equal(get(slow, 1000)->status, 403);
    put_text(slow, later); /* and answered from within another request's handler */
    test_run_for(&loop, 20);
    put_text(quick, "GET /release HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_int_equal(get(quick, 1000)->status, 200);
    assert_non_null(strstr(get(slow, 1000)->text, "released"));
    close(slow);
    close(quick);
    close_fixture(&f);
}

static void
pipelined_requests_are_answered_in_order(void **state)
{
    struct fixture f;
    char text[256];
    int fd;

    open_fixture(&f);
    fd = dial(&f);
    snprintf(text, sizeof text, "%s%s", later, simple);
    put_text(fd, text);
    assert_int_equal(get(fd, 50)->status, 0);
    sg_http_answer(f.held[--f.n_held], 403, sg_str("first"));
    assert_int_equal(get(fd, 1000)->status, 403);
    assert_int_equal(get(fd, 1000)->status, 200);
    close(fd);
    close_fixture(&f);
}

/* ---- refusals ---- */

static void
shapes_that_smuggle_are_refused_before_the_handler(void **state)
{
    static const struct {
        const char *what, *text;
        int status;
    } cases[] = {
        {"fine", "GET / HTTP/1.1\r\nHost: t\r\nAuthorization: a\r\n\r\n", 200},
        {"CL+TE",
         "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
         "0\r\n\r\n",
         400},
        {"two CL", "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
         400},
        {"CL +1", "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: +1\r\n\r\na", 400},
        {"no Host", "GET / HTTP/1.1\r\nX: t\r\n\r\n", 400},
        {"two Host", "GET / HTTP/1.1\r\nHost: t\r\nhost: t\r\n\r\n", 400},
        {"two Authorization",
         "GET / HTTP/1.1\r\nHost: t\r\nAuthorization: a\r\nauthorization: b\r\n\r\n", 400},
        {"xchunked", "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: xchunked\r\n\r\n", 400},
        {"two TE",
         "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n"
         "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         400},
        {"TE list", "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 400},
        {"TE in 1.0", "POST / HTTP/1.0\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         400},
        {"space before colon", "GET / HTTP/1.1\r\nHost: t\r\nAuthorization : a\r\n\r\n", 400},
        {"control", "GET / HTTP/1.1\r\nHost: t\r\nX: a\001b\r\n\r\n", 400},
        {"absolute form", "GET http://t/ HTTP/1.1\r\nHost: t\r\n\r\n", 400},
        {"NUL in path", "GET /a%00b HTTP/1.1\r\nHost: t\r\n\r\n", 400},
        {"NUL in query", "GET /a?q=%00b HTTP/1.1\r\nHost: t\r\n\r\n", 400},
        {"broken escape", "GET /a%zz HTTP/1.1\r\nHost: t\r\n\r\n", 400},
        {"body above", "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 1001\r\n\r\n", 413},
        {"CL overflow",
         "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 18446744073709551617\r\n\r\n", 413},
    };
    struct fixture f;
    size_t i;

    open_fixture(&f);
    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int fd = dial(&f), handled = f.handled;
        struct answer *a;

        put_text(fd, cases[i].text);
        a = get(fd, 1000);
        if (a->status != cases[i].status)
            fail_msg("%s: %d instead of %d", cases[i].what, a->status, cases[i].status);
        assert_int_equal(f.handled - handled, a->status == 200);
        if (a->status != 200 && !ends(fd, 500))
            fail_msg("%s: connection left open", cases[i].what);
        close(fd);
    }
    close_fixture(&f);
}

static void
lines_that_hide_something_are_refused(void **state)
{
    static const struct {
        const char *text;
        size_t len;
        int status;
    } cases[] = {
#define CASE(text, status) {text, sizeof text - 1, status}
        CASE("\r\nGET / HTTP/1.1\r\nHost: t\r\nX-Test:  a  \r\nEmpty:\r\n\r\n", 200),
        CASE("GET / HTTP/1.1\r\nHost: t\r\nX-Test: a\0b\r\n\r\n", 400),
        CASE("GET / HTTP/1.1\r\nHost: t\r\nX-Test: a\0\0b\r\nY: c\r\n\r\n", 400),
        CASE("GET / HTTP/1.1\r\nHost: t\r\nX-Test: a\0\0\0\0b\r\n\r\n", 400),
        CASE("GET / HTTP/1.1\r\nHost: t\r\nX\0Y: b\r\n\r\n", 400),
        CASE("GET / HTTP/1.1\r\nHost: t\nX: b\r\n\r\n", 400),
        CASE("GET / HTTP/1.1\nHost: t\n\n", 400),
        CASE("GET / HTTP/1.1\r\nHost: t\r\nX: b\rY: c\r\n\r\n", 400),
        CASE("GET / HTTP/1.1\r\nHost: t\r\nX: b\r\n folded\r\n\r\n", 400),
        CASE("GET / HTTP/1.1\r\nHost: t\r\nX: b\r\n folded\r\nY: c\r\n\r\n", 400),
#undef CASE
    };
    struct fixture f;
    size_t i;

    open_fixture(&f);
    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int fd = dial(&f), status;

        put(fd, cases[i].text, cases[i].len);
        status = get(fd, 1000)->status;
        if (status != cases[i].status)
            fail_msg("case %zu: %d instead of %d", i, status, cases[i].status);
        close(fd);
    }
    assert_int_equal(f.handled, 1);
    close_fixture(&f);
}

static void
large_headers_pass_up_to_the_bound(void **state)
{
    struct fixture f;
    char text[20000], *cookie = malloc(16001);
    int fd;

    open_fixture(&f);
    memset(cookie, 'x', 16000);
    cookie[16000] = '\0';
    fd = dial(&f);
    snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: t\r\nX-Test: %.3000s\r\n\r\n", cookie);
    put_text(fd, text);
    assert_int_equal(get(fd, 1000)->status, 200);
    snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: t\r\nCookie: %.16000s\r\n\r\n", cookie);
    put_text(fd, text);
    assert_int_equal(get(fd, 1000)->status, 431);
    close(fd);
    free(cookie);
    close_fixture(&f);
}

static void
many_headers_pass(void **state)
{
    struct fixture f;
    char text[8000];
    size_t n;
    int fd, i;

    open_fixture(&f);
    fd = dial(&f);
    n = (size_t)snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: t\r\n");
    for (i = 0; i < 60; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "X-Test: %d\r\n", i);
    snprintf(text + n, sizeof text - n, "\r\n");
    put_text(fd, text);
    assert_int_equal(get(fd, 1000)->status, 200);
    assert_non_null(strstr(f.seen, "x=0/60"));
    close(fd);
    close_fixture(&f);
}

static void
a_chunked_body_above_the_bound_is_refused_then_cut(void **state)
{
    static char chunk[70000];
    struct fixture f;
    int fd, i, handled;
    bool cut = false;

    open_fixture(&f);
    fd = dial(&f);
    handled = f.handled;
    put_text(fd, "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n");
    memset(chunk, 'x', sizeof chunk);
    put(fd, chunk, 2000);
    put_text(fd, "\r\n0\r\n\r\n");
    assert_int_equal(get(fd, 1000)->status, 413);
    close(fd);
    fd = dial(&f);
    put_text(fd, "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (i = 0; i < 40 && !cut; i++) { /* 2.6 MB */
        cut = send(fd, "10000\r\n", 7, MSG_NOSIGNAL) < 0 ||
              send(fd, chunk, 65536, MSG_NOSIGNAL) < 0 || send(fd, "\r\n", 2, MSG_NOSIGNAL) < 0;
        test_run_for(&loop, 5);
    }
    assert_true(cut);
    assert_int_equal(f.handled, handled);
    close(fd);
    close_fixture(&f);
}

/* ---- time and number ---- */

static void
a_dripper_is_cut_at_the_header_deadline(void **state)
{
    struct fixture f;
    int fd, i, used;
    bool cut = false;

    open_fixture(&f);
    fd = dial(&f);
    used = dial(&f);
    put_text(used, simple);
    assert_int_equal(get(used, 1000)->status, 200);
    put_text(fd, "GET / HTTP/1.1\r\n");
    put_text(used, "GET / HTTP/1.1\r\n"); /* a kept connection can drip too */
    for (i = 0; i < 12 && !cut; i++) {
        send(used, "X", 1, MSG_NOSIGNAL);
        cut = send(fd, "X", 1, MSG_NOSIGNAL) < 0 || ends(fd, 100);
    }
    assert_true(cut);
    assert_true(i >= 3 && i <= 9); /* 500 ms and at most 250 more */
    assert_true(ends(used, 400));  /* a sweep later, well before the idle timeout */
    close(fd);
    close(used);
    close_fixture(&f);
}

static void
an_idle_kept_connection_outlives_the_header_deadline(void **state)
{
    struct fixture f;
    int fd;

    open_fixture(&f);
    fd = dial(&f);
    put_text(fd, simple);
    assert_int_equal(get(fd, 1000)->status, 200);
    test_run_for(&loop, 800);
    put_text(fd, simple);
    assert_int_equal(get(fd, 1000)->status, 200);
    assert_true(ends(fd, 3000)); /* but not the idle timeout */
    close(fd);
    close_fixture(&f);
}

static void
a_connection_more_than_allowed_is_closed(void **state)
{
    struct fixture f = {0};
    struct sg_http_options o = options(&f);
    int a, b, c;

    o.max_connections = 2;
    open_with(&f, &o);
    a = dial(&f);
    b = dial(&f);
    test_run_for(&loop, 20);
    c = dial(&f);
    assert_true(ends(c, 500));
    assert_int_equal(sg_http_stats(f.http).open_connections, 2);
    assert_int_equal(sg_http_stats(f.http).refused, 1);
    close(a);
    test_run_for(&loop, 20);
    close(c);
    c = dial(&f);
    put_text(c, simple);
    assert_int_equal(get(c, 1000)->status, 200);
    close(b);
    close(c);
    close_fixture(&f);
}

/* ---- ends ---- */

static void
a_peer_gone_while_its_answer_is_awaited_is_told(void **state)
{
    struct fixture f;
    int fd;

    open_fixture(&f);
    fd = dial(&f);
    put_text(fd, later);
    test_run_for(&loop, 20);
    assert_int_equal(f.n_held, 1);
    close(fd);
    test_run_for(&loop, 600);
    assert_int_equal(f.aborted, 1);
    assert_int_equal(sg_http_stats(f.http).open_requests, 0);
    assert_int_equal(sg_http_stats(f.http).open_connections, 0);
    close_fixture(&f);
    assert_int_equal(f.aborted, 1);
}

static void
draining_refuses_connects_and_finishes_requests(void **state)
{
    struct fixture f;
    struct answer *a;
    int fd, port;

    open_fixture(&f);
    port = sg_http_port(f.http);
    fd = dial(&f);
    put_text(fd, later);
    test_run_for(&loop, 20);
    start_drain(&f, 5000);
    test_run_for(&loop, 300);
    assert_int_equal(dial_port(port), -1);
    assert_false(f.drained);
    sg_http_answer(f.held[--f.n_held], 200, sg_str("done"));
    a = get(fd, 1000);
    assert_int_equal(a->status, 200);
    assert_non_null(strstr(a->text, "Connection: close"));
    test_run_until(&loop, &f.drained, 1000);
    assert_int_equal(f.aborted, 0);
    close(fd);
}

static void
draining_ends_at_its_deadline_and_tells_the_owner(void **state)
{
    struct fixture f;
    int fd;

    open_fixture(&f);
    fd = dial(&f);
    put_text(fd, later);
    test_run_for(&loop, 20);
    start_drain(&f, 150);
    test_run_until(&loop, &f.drained, 500);
    assert_int_equal(f.aborted, 1);
    assert_true(ends(fd, 100));
    close(fd);
}

/* ---- addresses ---- */

static int
try_open(const char *address, struct sg_err *err)
{
    struct fixture f = {0};
    struct sg_http_options o = options(&f);
    int rc;

    o.address = address;
    rc = sg_http_open(&loop, sg_clock_system(), &o, &f.http, err);
    if (rc == 0)
        close_fixture(&f);
    return rc;
}

static void
addresses_are_checked(void **state)
{
    static const char *const bad[] = {
        "",         "8080",  "127.0.0.1",       "127.0.0.1:", "host:80",
        "::1:80",   "[::1]", "127.0.0.1:70000", "0.0.0.0:0",  "10.0.0.1:0",
        "unix:rel", "unix:", "127.0.0.1:x"};
    struct sg_err err;
    size_t i;

    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (try_open(bad[i], &err) == 0)
            fail_msg("accepted: %s", bad[i]);
        assert_int_equal(err.code, SG_E_INVALID);
        assert_string_equal(err.place, bad[i]);
    }
    assert_int_equal(try_open("127.0.0.1:0", &err), 0);
}

static void
a_port_in_use_says_so_unless_it_is_shared(void **state)
{
    struct fixture f, g = {0};
    struct sg_http_options o;
    char address[64];
    struct sg_err err;
    int i, fd;

    open_fixture(&f);
    snprintf(address, sizeof address, "127.0.0.1:%d", sg_http_port(f.http));
    assert_int_equal(try_open(address, &err), -1);
    assert_non_null(strstr(err.text, "in use"));
    assert_string_equal(err.place, address);
    close_fixture(&f);

    memset(&f, 0, sizeof f);
    o = options(&f);
    o.reuse_port = true;
    open_with(&f, &o);
    snprintf(address, sizeof address, "127.0.0.1:%d", sg_http_port(f.http));
    o = options(&g);
    o.reuse_port = true;
    o.address = address;
    open_with(&g, &o);
    for (i = 0; i < 40; i++) {
        fd = dial(&f);
        put_text(fd, simple);
        assert_int_equal(get(fd, 1000)->status, 200);
        close(fd);
    }
    assert_true(f.handled > 0 && g.handled > 0); /* both serve: 2 in 2^40 that one does not */
    close_fixture(&f);
    close_fixture(&g);
}

static void
a_unix_socket_is_served_and_a_stale_one_replaced(void **state)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct fixture f = {0};
    struct sg_http_options o = options(&f);
    char dir[] = "/tmp/segue-test-http-XXXXXX", address[128];
    struct sg_err err;
    int fd, stale;

    assert_non_null(mkdtemp(dir));
    snprintf(a.sun_path, sizeof a.sun_path, "%s/s", dir);
    snprintf(address, sizeof address, "unix:%s", a.sun_path);
    stale = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(stale, (struct sockaddr *)&a, sizeof a), 0);
    close(stale); /* the file stays, as after a crash */
    o.address = address;
    open_with(&f, &o);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    put_text(fd, simple);
    assert_int_equal(get(fd, 1000)->status, 200);
    assert_int_equal(try_open(address, &err), -1); /* somebody answers on it */
    assert_non_null(strstr(err.text, "in use"));
    close(fd);
    close_fixture(&f);
    assert_int_equal(access(a.sun_path, F_OK), -1); /* removed */
    fclose(fopen(a.sun_path, "w"));
    assert_int_equal(try_open(address, &err), -1); /* never a file that is no socket */
    assert_int_equal(access(a.sun_path, F_OK), 0);
    unlink(a.sun_path);
    rmdir(dir);
}

static int
dial_unix(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    assert_true(strlen(path) < sizeof a.sun_path);
    memcpy(a.sun_path, path, strlen(path) + 1);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

static void
two_servers_share_a_unix_socket(void **state)
{
    struct fixture f = {0}, g = {0};
    struct sg_http_options o = options(&f);
    char dir[] = "/tmp/segue-test-http-XXXXXX", address[128];
    int i, fd, before = 0;

    assert_non_null(mkdtemp(dir));
    snprintf(address, sizeof address, "unix:%s/s", dir);
    o.address = address;
    open_with(&f, &o);
    o = options(&g);
    o.address = address;
    o.share = f.http;
    open_with(&g, &o);
    for (i = 0; i < 6; i++) {
        if (i == 3) {
            close_fixture(&g); /* one ends, the other goes on */
            before = f.handled;
        }
        fd = dial_unix(address + 5);
        put_text(fd, simple);
        assert_int_equal(get(fd, 1000)->status, 200);
        close(fd);
    }
    assert_int_equal(f.handled, before + 3);
    close_fixture(&f);
    assert_int_equal(access(address + 5, F_OK), -1);
    rmdir(dir);
}

static int
setup(void **state)
{
    signal(SIGPIPE, SIG_IGN);
    return uv_loop_init(&loop);
}

static int
teardown(void **state)
{
    return uv_loop_close(&loop); /* nonzero: a handle was left open */
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_connection_is_kept_and_every_header_arrives),
        cmocka_unit_test(a_request_is_read_as_sent),
        cmocka_unit_test(an_answer_may_come_later_and_holds_nobody_up),
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(shapes_that_smuggle_are_refused_before_the_handler),
        cmocka_unit_test(lines_that_hide_something_are_refused),
        cmocka_unit_test(large_headers_pass_up_to_the_bound),
        cmocka_unit_test(many_headers_pass),
        cmocka_unit_test(a_chunked_body_above_the_bound_is_refused_then_cut),
        cmocka_unit_test(a_dripper_is_cut_at_the_header_deadline),
        cmocka_unit_test(an_idle_kept_connection_outlives_the_header_deadline),
        cmocka_unit_test(a_connection_more_than_allowed_is_closed),
        cmocka_unit_test(a_peer_gone_while_its_answer_is_awaited_is_told),
        cmocka_unit_test(draining_refuses_connects_and_finishes_requests),
        cmocka_unit_test(draining_ends_at_its_deadline_and_tells_the_owner),
        cmocka_unit_test(addresses_are_checked),
        cmocka_unit_test(a_port_in_use_says_so_unless_it_is_shared),
        cmocka_unit_test(a_unix_socket_is_served_and_a_stale_one_replaced),
        cmocka_unit_test(two_servers_share_a_unix_socket),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
