/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rights: what decides who may do what with a file or directory: owner, group, mode and ACL, taken from one
 * descriptor. It must not know who asks.
 */
#pragma once

#include <glib.h>

typedef struct {
    guint32 mode; /* with the type; 0: nothing there */
    guint32 uid, gid;
    GBytes *acl; /* as the kernel hands it out (system.posix_acl_access); NULL: there is none */
} ShieldRights;

/* What fd (O_PATH will do) leads to. FALSE with errno: it can't be told; then there is nothing in rights. */
gboolean shield_rights_of(int fd, ShieldRights *rights);

ShieldRights shield_rights_copy(const ShieldRights *rights);
void shield_rights_clear(ShieldRights *rights);
gboolean shield_rights_equal(const ShieldRights *a, const ShieldRights *b);
