/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filter: THE table of the system calls that a process may still make. Any other fails with EPERM, and the
 * supervisor is told of it, once for each; nobody is killed for one. It must not know what they are made for.
 *
 * In a build without libseccomp there is none.
 */
#pragma once

#include <glib.h>

#include "process/confine.h"

/* What is written to the descriptor `refused`, whole. */
typedef struct {
    gint32 process; /* SfsProcess */
    gint32 call;    /* its number */
} SfsRefused;

#ifdef SFS_SECCOMP
/* For this thread, and those that it starts. refused: a pipe's end that does not wait, or -1. FALSE: there is
 * none. no_new_privs must be set. */
gboolean sfs_filter(SfsProcess process, int refused);

/* A call's name, or its number; free it. */
char *sfs_filter_call_name(int call);
#else
#define sfs_filter(process, refused) ((void)(process), (void)(refused), FALSE)
#define sfs_filter_call_name(call) g_strdup_printf("%d", call)
#endif
