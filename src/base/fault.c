/* SPDX-License-Identifier: MIT */
#include "base/fault.h"

#ifdef SG_FAULTS
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MAX_POINTS 16

struct point {
    char name[64];
    char action[16];
    unsigned value; /* delay: milliseconds */
    unsigned nth;   /* acts from this pass on; 0 = each */
    unsigned passes;
};

static struct point points[MAX_POINTS];
static int n_points = -1;

/* Called once, before threads start: the first sg_fault() of a process runs on its main thread. */
static void
load(void)
{
    const char *env = getenv("SEGUE_FAULTS");
    char copy[1024], *item, *save = NULL;

    n_points = 0;
    if (env == NULL)
        return;
    snprintf(copy, sizeof copy, "%s", env);
    for (item = strtok_r(copy, ",", &save); item != NULL && n_points < MAX_POINTS;
         item = strtok_r(NULL, ",", &save)) {
        struct point *p = &points[n_points];
        char *eq = strchr(item, '='), *at;

        if (eq == NULL)
            continue;
        *eq++ = '\0';
        if ((at = strchr(eq, '@')) != NULL) {
            *at++ = '\0';
            p->nth = (unsigned)strtoul(at, NULL, 10);
        }
        if ((at = strchr(eq, ':')) != NULL) {
            *at++ = '\0';
            p->value = (unsigned)strtoul(at, NULL, 10);
        }
        snprintf(p->name, sizeof p->name, "%s", item);
        snprintf(p->action, sizeof p->action, "%s", eq);
        n_points++;
    }
}

bool
sg_fault(const char *name)
{
    int i;

    if (n_points < 0)
        load();
    for (i = 0; i < n_points; i++) {
        struct point *p = &points[i];

        if (strcmp(p->name, name) != 0 || ++p->passes < p->nth)
            continue;
        if (strcmp(p->action, "kill") == 0)
            kill(getpid(), SIGKILL);
        if (strcmp(p->action, "delay") == 0) {
            struct timespec ts = {p->value / 1000, (long)(p->value % 1000) * 1000000L};

            nanosleep(&ts, NULL);
        }
        return strcmp(p->action, "fail") == 0;
    }
    return false;
}
#else
typedef int sg_fault_unused; /* an empty translation unit is not ISO C */
#endif
