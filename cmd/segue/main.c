/* SPDX-License-Identifier: MIT */
#include <stdio.h>

int
main(void)
{
    puts("segue 0.1.0");
    return 0;
}
