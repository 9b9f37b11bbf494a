/* SPDX-License-Identifier: MIT */
/* A server with several threads verifies what clients send, most of it again and again:
 *   threads JWKS.json ISSUER AUDIENCE <TOKENS
 * Each line of the input is a token. Keys are shared; each thread has a set and a cache of its own,
 * so there is no lock. Exits with 0 if every token is good. */
#include <segue/segue.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define THREADS 4
#define TIMES 1000 /* each client comes that often to each thread */
#define TOKENS_MAX 64
#define CACHE_BYTES ((size_t)1024 * 1024)

static char tokens[TOKENS_MAX][SEGUE_TOKEN_BYTES + 2];
static int n_tokens;

struct worker {
    pthread_t thread;
    const struct segue_policy *policy;
    struct segue_keyset *set;
    struct segue_cache *cache;
    struct segue_cache_stats stats;
    long good, bad;
};

static void *
work(void *arg)
{
    struct worker *w = arg;
    struct segue_verify_buf buf;
    struct segue_claims claims;
    int round, i;

    for (round = 0; round < TIMES; round++)
        for (i = 0; i < n_tokens; i++) {
            enum segue_status status =
                segue_cache_verify(w->cache, w->set, w->policy, time(NULL), tokens[i],
                                   strlen(tokens[i]), &buf, &claims);

            /* Here the server looks up whether claims.sid was revoked: also after a hit. */
            if (status == SEGUE_OK)
                w->good++;
            else
                w->bad++;
        }
    segue_cache_get_stats(w->cache, &w->stats);
    return NULL;
}

static struct segue_keyset *
load_keys(const char *path)
{
    static char jwks[64 * 1024];
    struct segue_keyset *set = NULL;
    struct segue_error why = {""};
    FILE *f = fopen(path, "r");
    size_t len;

    if (f == NULL) {
        perror(path);
        return NULL;
    }
    len = fread(jwks, 1, sizeof jwks, f);
    fclose(f);
    if (segue_keyset_from_jwks(jwks, len, &set, NULL, &why) != SEGUE_OK)
        fprintf(stderr, "%s: %s\n", path, why.text);
    return set;
}

int
main(int argc, char **argv)
{
    const char *const audiences[] = {argc == 4 ? argv[3] : NULL, NULL};
    struct segue_policy policy = {.audiences = audiences, .leeway_sec = 30};
    struct worker workers[THREADS];
    struct segue_cache_stats sum = {0, 0, 0};
    struct segue_keyset *set;
    long good = 0, bad = 0;
    int i;

    if (argc != 4) {
        fprintf(stderr, "usage: threads JWKS.json ISSUER AUDIENCE <TOKENS\n");
        return 2;
    }
    policy.issuer = argv[2];
    while (n_tokens < TOKENS_MAX && fgets(tokens[n_tokens], sizeof tokens[0], stdin) != NULL)
        tokens[n_tokens][strcspn(tokens[n_tokens], "\n")] = '\0', n_tokens++;
    if ((set = load_keys(argv[1])) == NULL)
        return 2;
    for (i = 0; i < THREADS; i++) {
        struct worker *w = &workers[i];

        memset(w, 0, sizeof *w);
        w->policy = &policy;
        if (segue_keyset_copy(set, &w->set) != SEGUE_OK ||
            segue_cache_new(CACHE_BYTES, &w->cache) != SEGUE_OK ||
            pthread_create(&w->thread, NULL, work, w) != 0) {
            fprintf(stderr, "could not start a thread\n");
            return 2;
        }
    }
    for (i = 0; i < THREADS; i++) {
        pthread_join(workers[i].thread, NULL);
        good += workers[i].good;
        bad += workers[i].bad;
        sum.hits += workers[i].stats.hits;
        sum.misses += workers[i].stats.misses;
        segue_keyset_free(workers[i].set);
        segue_cache_free(workers[i].cache);
    }
    segue_keyset_free(set);
    printf("%ld good, %ld refused; %llu answered by the caches, %llu by the signature\n", good, bad,
           (unsigned long long)sum.hits, (unsigned long long)sum.misses);
    return bad == 0 && good > 0 ? 0 : 1;
}
