/* SPDX-License-Identifier: Apache-2.0 */
/*
 * standard: the three standard descriptors of a program, as whoever started it may have left them. It must
 * not know what is read or printed.
 */
#pragma once

#include <glib.h>

/* Opens those of the descriptors 0 to 2 that are closed, so that nothing else comes to lie there. Reading or
 * writing them fails as before (EBADF). The first thing that a program does. */
void shield_standard_open(void);

/* Has all that was printed to standard output arrived? Else FALSE with errno. */
gboolean shield_standard_flush(void);
