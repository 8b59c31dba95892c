/* SPDX-License-Identifier: Apache-2.0 */
/*
 * access: who may do what with allow_other. The one place that decides. It knows rights and callers, and must
 * not know which files and directories a node of the view is made of, nor how any was opened.
 *
 * There are two lines. The kernel checks the mode that a node shows (default_permissions). A mode has three
 * classes of users, and those of several files and directories can't always be told from each other: where
 * they can't, a class has what all who may be in it have. And the kernel checks it before the file is opened,
 * by a name that may lead elsewhere by then. So who asks is judged again, by the rights of what was opened.
 *
 * Denying too much is right, allowing too much is a bug.
 */
#pragma once

#include <glib.h>
#include <sys/stat.h>

#include "rights.h"

/* What somebody must be allowed to get at something: to search the directories on the way, to read what is at
 * its end. Counted, and immutable once it is anybody else's. */
typedef struct SfsDemands SfsDemands;

typedef enum {
    SFS_SEARCH = 1, /* as in a mode */
    SFS_READ = 4
} SfsDemand;

SfsDemands *sfs_demands_new(const SfsDemands *before); /* NULL: of nothing; else: all that before has */
void sfs_demands_add(SfsDemands *demands, const ShieldRights *rights, SfsDemand what);
void sfs_demands_add_all(SfsDemands *demands, const SfsDemands *others);
SfsDemands *sfs_demands_ref(SfsDemands *demands);
void sfs_demands_unref(SfsDemands *demands);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SfsDemands, sfs_demands_unref)

/* Who asks. What is not known at once is asked for when it matters, once. */
typedef struct SfsCaller SfsCaller;
struct SfsCaller {
    uid_t uid;
    gid_t gid;
    gboolean
        vague; /* nobody could be asked, or can any more: he may do what he may whatever his other groups */
    void (*ask)(SfsCaller *caller); /* fills the rest; NULL: that has been done */
    gint64 pid;
    gboolean privileged; /* passes every check, as root does */
    GArray *groups;      /* of gid_t; NULL: none */
};

/* Of what somebody has opened: him, as far as that is to be remembered. */
SfsCaller sfs_caller_remember(uid_t uid, gid_t gid);

/* Is it he who asks now, as far as can be told? */
gboolean sfs_caller_is(const SfsCaller *opener, const SfsCaller *now);

/* Does he pass every check, as root does? */
gboolean sfs_caller_is_privileged(SfsCaller *caller);

void sfs_caller_clear(SfsCaller *caller);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(SfsCaller, sfs_caller_clear)

/* May he do all that is demanded? NULL: nothing is. */
gboolean sfs_access_allows(const SfsDemands *demands, SfsCaller *caller);

/* May he search all directories that are to be searched? */
gboolean sfs_access_reaches(const SfsDemands *demands, SfsCaller *caller);

/* demands: of searching directories alone, the last one of which lies in those before. May he list the n
 * before the last, and search all before that? */
gboolean sfs_access_lists(const SfsDemands *demands, guint n, SfsCaller *caller);

/* The bits (of 0777) that a node may show whose owner and group are shown as these: for each class, what all
 * who may be in it are allowed. Root counts as nobody, as no mode keeps him out. The user who mounted, if he
 * is the owner, is denied only what he denies himself: this process is he. */
mode_t sfs_access_mode(const SfsDemands *demands, uid_t uid, gid_t gid);
