/* SPDX-License-Identifier: MIT */
/* Feeds every file of the folders named on the command line to a fuzz target, so that the ordinary
 * test run sees its corpus without libFuzzer. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
replay(const char *path)
{
    static uint8_t data[1 << 21];
    FILE *f = fopen(path, "rb");
    size_t n;

    if (f == NULL)
        return 0;
    n = fread(data, 1, sizeof data, f);
    if (ferror(f)) { /* a folder */
        fclose(f);
        return 0;
    }
    fclose(f);
    /* an exact allocation, so that a sanitizer sees a read past the end */
    uint8_t *exact = malloc(n != 0 ? n : 1);
    if (exact == NULL)
        abort();
    for (size_t i = 0; i < n; i++)
        exact[i] = data[i];
    LLVMFuzzerTestOneInput(exact, n);
    free(exact);
    return 1;
}

int
main(int argc, char **argv)
{
    int i, files = 0;

    for (i = 1; i < argc; i++) {
        struct dirent *entry;
        DIR *dir = opendir(argv[i]);
        char path[4096];

        if (dir == NULL) {
            perror(argv[i]);
            return 1;
        }
        while ((entry = readdir(dir)) != NULL) {
            snprintf(path, sizeof path, "%s/%s", argv[i], entry->d_name);
            files += replay(path);
        }
        closedir(dir);
    }
    printf("replayed %d files\n", files);
    return files == 0;
}
