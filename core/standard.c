/* SPDX-License-Identifier: Apache-2.0 */
/* standard: descriptors 0 to 2; see standard.h. */
#include "standard.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

void shield_standard_open(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) >= 0)
            continue;
        /* The lowest number that is free is this one. Not O_CLOEXEC: a child has the same need. */
        if (open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) < 0)
            (void)open("/", O_PATH); /* there may be no /dev */
    }
}

gboolean shield_standard_flush(void)
{
    return fflush(stdout) == 0 && !ferror(stdout);
}
