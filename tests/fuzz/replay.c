/* SPDX-License-Identifier: MIT */
/* Runs a fuzz target over the files of a corpus: replay FOLDER. Fails when there are none. */
#include "fuzz/fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

static void
run(const char *folder, const char *name)
{
    size_t size, cap = 1 << 20;
    uint8_t *data = malloc(cap), *exact;
    char path[1024];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (data == NULL || (f = fopen(path, "rb")) == NULL) {
        perror(path);
        exit(1);
    }
    size = fread(data, 1, cap, f);
    fclose(f);
    exact = realloc(data, size != 0 ? size : 1); /* a read past the end is seen */
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
}

int
main(int argc, char **argv)
{
    struct dirent *e;
    int n = 0;
    DIR *d;

    if (argc != 2 || (d = opendir(argv[1])) == NULL) {
        fprintf(stderr, "usage: replay FOLDER\n");
        return 2;
    }
    while ((e = readdir(d)) != NULL)
        if (e->d_name[0] != '.') {
            run(argv[1], e->d_name);
            n++;
        }
    closedir(d);
    printf("%d inputs replayed\n", n);
    return n > 0 ? 0 : 1;
}
