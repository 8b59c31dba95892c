/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wrong: what the log has been told is wrong with files of the view, so that one thing that is wrong is one
 * line until it is right again, however often and by which of the files it is come upon. It must not know who
 * opened what, nor where the log goes.
 *
 * What is remembered of a message is a number, made with the key of this process: one for each file, and one
 * for each list of a container. So a bundle can't make it grow, nor choose two messages that look the same.
 */
#pragma once

#include "view/tree.h"

/* Opening the file failed with that: a line, if the log does not have it already. Any thread. */
void sfs_wrong_tell(SfsTree *tree, SfsNode *file, const GError *error);

/* Opening it worked: what was wrong with it, or with a list that it is computed from, is right again, which
 * is a line, too. Any thread. */
void sfs_wrong_is_right(SfsTree *tree, SfsNode *file);

/* All that is wrong with the lists of a container by now, as lines. The others are right again. */
void sfs_wrong_found(SfsContainer *container, const GPtrArray *problems);

/* A line that is about a node: "NAME/FILE: TEXT", with fields for both. text: escaped. */
void sfs_wrong_log(const SfsNode *node, GLogLevelFlags level, const char *text);
