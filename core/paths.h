/* SPDX-License-Identifier: Apache-2.0 */
/*
 * paths: absolute paths and what they resolve to. It must not know what is found at one.
 */
#pragma once

#include <glib.h>

/* path made absolute, "//" and "." taken out; ".." stays, for what it leads to depends on links. Free it. */
char *shield_path_absolute(const char *path);

/* Resolves the links in the part of path that exists, and appends the rest; path may be relative. The caller
 * frees the result; NULL with errno if some directory can't be searched. */
char *shield_path_resolve(const char *path);

/* Is inner the directory outer or something below it? Both absolute and without links. */
gboolean shield_path_contains(const char *outer, const char *inner);

/* path normalised as the contract's pathlib does it: "a//b/./c/" becomes "a/b/c", ".." stays, "//a" stays,
 * "///a" becomes "/a", "" gives ".". Free it. */
char *shield_path_normalise(const char *path);
