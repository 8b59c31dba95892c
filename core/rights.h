/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rights: what decides who may do what with a file or directory: owner, group, mode and ACL, taken from one
 * descriptor. It must not know who asks.
 */
#pragma once

#include <glib.h>

/* A user or group of which no more is known than that it is none of those that have a number here. */
#define SHIELD_NO_ID G_MAXUINT32

typedef struct {
    guint32 mode;     /* with the type; 0: nothing there */
    guint32 uid, gid; /* or SHIELD_NO_ID */
    GBytes *acl;      /* as the kernel hands it out (system.posix_acl_access); NULL: there is none */
} ShieldRights;

/* An id as stat, or the kernel's text of an ACL or of a process, has it. In a user namespace that has not all
 * of them, one number (65534 mostly) stands for all others, and for one that it has: who of these it is can't
 * be told, and SHIELD_NO_ID says so. */
guint32 shield_rights_user(guint32 uid);
guint32 shield_rights_group(guint32 gid);

/* What fd (O_PATH will do) leads to. FALSE with errno: it can't be told (EAGAIN: it does not stay the same
 * for long enough); then there is nothing in rights. */
gboolean shield_rights_of(int fd, ShieldRights *rights);

ShieldRights shield_rights_copy(const ShieldRights *rights);
void shield_rights_clear(ShieldRights *rights);
gboolean shield_rights_equal(const ShieldRights *a, const ShieldRights *b);
