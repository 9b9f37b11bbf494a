/* SPDX-License-Identifier: MIT */
/* Times libraries that verify JWTs side by side: jwt ROUNDS SLICE_MS [NAME], NAME like
 * "HS256/segue" to time one. Each round gives every library a slice of CPU time in turn, so that
 * whatever else the machine does hits all alike; medians of the rounds are printed, one "NAME
 * NUMBER" a line: nanoseconds, but for two threads.  Time is the CPU time of the thread. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "peer.h"
#include "segue/segue.h"

#include <openssl/sha.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define TOKENS 1000
#define ROUNDS_MAX 101
#define RUNS_MAX 32

struct token {
    char text[1200];
    size_t len, input_len; /* input: what is signed */
};

static const char *const algs[] = {"HS256", "RS256", "ES256", "EdDSA"};
#define N_ALGS 4
static struct token tokens[N_ALGS][TOKENS], jwt_tokens[N_ALGS][TOKENS];

static void
die(const char *why)
{
    fprintf(stderr, "bench: %s\n", why);
    exit(1);
}

static int64_t
cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* ---- tokens: what Segue itself issues to a person with two roles ---- */

static struct segue_slice
text(const char *s)
{
    return (struct segue_slice){s, strlen(s)};
}

static void
mint(const struct segue_key *key, int i, struct token *t)
{
    struct segue_slice aud = text(AUDIENCE), roles[] = {text("editor"), text("reviewer")};
    struct segue_claims c = SEGUE_CLAIMS_INIT;
    char sub[32], jti[32], sid[32];

    snprintf(sub, sizeof sub, "user-%06d", i * 7919 % 1000000);
    snprintf(jti, sizeof jti, "J9wQ2mZrT0aXvB%08d", i);
    snprintf(sid, sizeof sid, "S3kLp8NcY5dEhF%08d", i);
    c.iss = text(ISSUER);
    c.sub = text(sub);
    c.aud = &aud;
    c.n_aud = 1;
    c.client_id = text("web");
    c.iat = c.nbf = NOW - 10;
    c.exp = NOW + 290;
    c.jti = text(jti);
    c.sid = text(sid);
    c.roles = roles;
    c.n_roles = 2;
    c.bkt = i % 4096;
    c.sv = 3;
    if (segue_mint(key, &c, t->text, sizeof t->text, &t->len, NULL) != SEGUE_OK)
        die("could not mint");
    t->input_len = (size_t)(strrchr(t->text, '.') - t->text);
}

static void
resign(const char *alg, const char *jwk, const struct token *from, struct token *to)
{
    char *again = cjose_resign(alg, jwk, from->text);

    if (again == NULL || strlen(again) >= sizeof to->text)
        die("could not sign again");
    to->len = strlen(strcpy(to->text, again));
    free(again);
}

/* ---- runs ---- */

struct run {
    char name[48];
    bool (*one)(void *handle, const char *token, size_t len);
    void *handle;
    const struct token *tokens;
    bool input_only; /* what is signed instead of the token */
    double ns[ROUNDS_MAX];
};

static struct run runs[RUNS_MAX];
static int n_runs;
static const char *only; /* the one run wanted; "" = all */

static struct run *
add_run(const char *alg, const char *what, bool (*one)(void *, const char *, size_t), void *handle,
        const struct token *t)
{
    struct run *r = &runs[n_runs];

    *r = (struct run){0};
    snprintf(r->name, sizeof r->name, "%s/%s", alg, what);
    if (only[0] == '\0' || strcmp(only, r->name) == 0)
        n_runs++;
    r->one = one;
    r->handle = handle;
    r->tokens = t;
    return r;
}

/* A slice of time; the mean of one call. */
static double
slice(const struct run *r, int64_t slice_ns)
{
    int64_t start = cpu_ns(), spent;
    long n = 0;
    int i;

    do {
        for (i = 0; i < 50; i++, n++) {
            const struct token *t = &r->tokens[n % TOKENS];

            if (!r->one(r->handle, t->text, r->input_only ? t->input_len : t->len))
                die(r->name);
        }
        spent = cpu_ns() - start;
    } while (spent < slice_ns);
    return (double)spent / (double)n;
}

static int
ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double
median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, ascending);
    return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

/* ---- two threads ---- */

/* The same work on one thread and then on two at once, each with a set of its own: how many times
 * as much they do in a second of CPU time each, and how often they had to wait for one another. */
struct pair {
    struct run run[2];
    double times[ROUNDS_MAX];
    long waits;
};

static struct pair pairs[N_ALGS];
static int n_pairs;

struct half {
    const struct run *run;
    pthread_barrier_t *start;
    int64_t slice_ns;
    double ns;
    long waits;
};

static void
add_pair(int a, void *first, void *second)
{
    struct pair *p = &pairs[n_pairs];
    int i;

    for (i = 0; i < 2; i++) {
        snprintf(p->run[i].name, sizeof p->run[i].name, "%s/two-threads", algs[a]);
        p->run[i].one = peer_segue.verify;
        p->run[i].handle = i == 0 ? first : second;
        p->run[i].tokens = tokens[a];
    }
    if (only[0] == '\0' || strcmp(only, p->run[0].name) == 0)
        n_pairs++;
}

static void *
half_thread(void *arg)
{
    struct half *h = arg;
    struct rusage before, after;

    pthread_barrier_wait(h->start);
    getrusage(RUSAGE_THREAD, &before);
    h->ns = slice(h->run, h->slice_ns);
    getrusage(RUSAGE_THREAD, &after);
    h->waits = after.ru_nvcsw - before.ru_nvcsw;
    return NULL;
}

static void
measure_pair(struct pair *p, int round, int64_t slice_ns)
{
    double alone = slice(&p->run[0], slice_ns);
    pthread_barrier_t start;
    struct half h[2];
    pthread_t t[2];
    int i;

    pthread_barrier_init(&start, NULL, 2);
    for (i = 0; i < 2; i++) {
        h[i] = (struct half){&p->run[i], &start, slice_ns, 0, 0};
        if (pthread_create(&t[i], NULL, half_thread, &h[i]) != 0)
            die("could not start a thread");
    }
    for (i = 0; i < 2; i++) {
        pthread_join(t[i], NULL);
        p->waits += h[i].waits;
    }
    pthread_barrier_destroy(&start);
    p->times[round] = alone / h[0].ns + alone / h[1].ns;
}

/* ---- the whole ---- */

/* The bare HMAC of a token, as fast as libcrypto does it: both halves of the key hashed already. */
static bool
bare_hmac(void *handle, const char *input, size_t len)
{
    const SHA256_CTX *half = handle;
    unsigned char out[32];
    SHA256_CTX ctx = half[0];

    SHA256_Update(&ctx, input, len);
    SHA256_Final(out, &ctx);
    ctx = half[1];
    SHA256_Update(&ctx, out, sizeof out);
    SHA256_Final(out, &ctx);
    return out[0] != out[1] || out[2] != out[3] || out[4] != out[5];
}

static void *
hmac_halves(void)
{
    static const unsigned char pads[2] = {0x36, 0x5c};
    SHA256_CTX *half = calloc(2, sizeof *half);
    unsigned char block[64];
    int i;

    for (i = 0; i < 2; i++) {
        memset(block, pads[i], sizeof block);
        SHA256_Init(&half[i]);
        SHA256_Update(&half[i], block, sizeof block);
    }
    return half;
}

static void
set_up(int a)
{
    static const struct peer *const peers[] = {&peer_segue, &peer_segue_cached, &peer_cjose,
                                               &peer_libjwt, &peer_rhonabwy};
    enum segue_alg alg = segue_alg_find(algs[a]);
    char jwk[SEGUE_JWK_BYTES], private[SEGUE_JWK_BYTES], *pem = NULL;
    struct segue_key *key;
    size_t len;
    int i;

    if (segue_key_generate(alg, "2026-05", &key, NULL) != SEGUE_OK)
        die("could not make a key");
    for (i = 0; i < TOKENS; i++)
        mint(key, i, &tokens[a][i]);
    if (segue_key_private_jwk(key, private, sizeof private, &len) != SEGUE_OK ||
        (alg == SEGUE_HS256 ? segue_key_private_jwk : segue_key_public_jwk)(key, jwk, sizeof jwk,
                                                                            &len) != SEGUE_OK)
        die("could not write the key");
    for (i = 0; i < TOKENS && alg != SEGUE_EDDSA && only[0] == '\0'; i++)
        resign(algs[a], private, &tokens[a][i], &jwt_tokens[a][i]);
    if (alg == SEGUE_ES256 || alg == SEGUE_RS256)
        pem = rhonabwy_pem(jwk);
    for (i = 0; i < 5; i++) {
        void *handle = peers[i]->open(algs[a], jwk, pem);

        if (handle != NULL)
            add_run(algs[a], peers[i]->name, peers[i]->verify, handle,
                    peers[i] == &peer_libjwt ? jwt_tokens[a] : tokens[a]);
    }
    /* A second thread verifies with a set of its own, as the library asks for. */
    add_pair(a, peer_segue.open(algs[a], jwk, NULL), peer_segue.open(algs[a], jwk, NULL));
    segue_key_free(key);
    if (alg == SEGUE_HS256)
        add_run(algs[a], "bare-hmac", bare_hmac, hmac_halves(), tokens[a])->input_only = true;
}

int
main(int argc, char **argv)
{
    int rounds = argc > 1 ? atoi(argv[1]) : 0, slice_ms = argc > 2 ? atoi(argv[2]) : 0, i, k;

    if (rounds < 1 || rounds > ROUNDS_MAX || slice_ms < 1) {
        fprintf(stderr, "usage: jwt ROUNDS SLICE_MS [NAME]\n");
        return 2;
    }
    only = argc > 3 ? argv[3] : "";
    for (i = 0; i < N_ALGS; i++)
        set_up(i);
    for (i = 0; i < n_runs; i++) {
        /* A cache is measured when it has every token. */
        for (k = 0; k < TOKENS && runs[i].one == peer_segue_cached.verify; k++)
            (void)runs[i].one(runs[i].handle, runs[i].tokens[k].text, runs[i].tokens[k].len);
        (void)slice(&runs[i], 1000000);
    }
    for (k = 0; k < rounds; k++)
        for (i = 0; i < n_runs; i++)
            runs[i].ns[k] = slice(&runs[i], slice_ms * INT64_C(1000000));
    for (k = 0; k < rounds; k++)
        for (i = 0; i < n_pairs; i++)
            measure_pair(&pairs[i], k, slice_ms * INT64_C(1000000));
    for (i = 0; i < n_runs; i++)
        printf("%s %.1f\n", runs[i].name, median(runs[i].ns, rounds));
    for (i = 0; i < n_pairs; i++)
        printf("%s %.3f\n%s-waits %ld\n", pairs[i].run[0].name, median(pairs[i].times, rounds),
               pairs[i].run[0].name, pairs[i].waits);
    for (i = 0; i < N_ALGS; i++)
        printf("%s/bytes %zu\n", algs[i], tokens[i][TOKENS / 2].len);
    return 0;
}
