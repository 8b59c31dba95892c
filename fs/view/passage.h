/* SPDX-License-Identifier: Apache-2.0 */
/*
 * passage: what it takes to get to a container: every directory from "/" to its bundle must be searched. It
 * is found out by going that way, each directory by the descriptor of the one above it, and remembered for as
 * long as events would tell of a change. It must not know who asks, nor what is done in the bundle.
 */
#pragma once

#include "view/access.h"
#include "view/view.h"

/* For searching the bundle, whose directory is open (it is what the way is compared with); a new reference.
 * NULL with errno: it can't be told, so nobody may. */
SfsDemands *sfs_passage_into(SfsView *view, SfsContainer *container);

/* The same, but of the bundle itself no more than its place: for what is to be known of it from above. */
SfsDemands *sfs_passage_to(SfsView *view, SfsContainer *container);

/* Is the caller to be told that there is such a container? He is if he may search it, or list where it lies;
 * then he is told of all that lie there. known: for questions about one container after the other, after a
 * drain; what was found out for the last, at first NULL; the caller gives the reference back. */
typedef enum { SFS_SHOWN_NOT, SFS_SHOWN, SFS_SHOWN_ALL } SfsShows;
SfsShows sfs_passage_shows(SfsView *view, SfsContainer *container, SfsCaller *caller, SfsPassage **known);
