/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lists: entries in their order, and what the contract does with them: union, difference, domains. A list is
 * immutable and counted, so threads share it without a lock. It must not know which file is which.
 *
 * Comparison is by exact bytes, the first occurrence wins. Sets are made by sorting, not by hashing: the
 * entries are hostile, and a sort has no input that makes it quadratic.
 */
#pragma once

#include "shieldstate.h"

/* All entries of a valid UTF-8 text, in order, duplicates included. Keeps a reference to text. */
ShieldList *shield_list_parse(GBytes *text);

/* The domain names of a valid UTF-8 text: stripped, lower-cased, kept if they are a domain as the writer
 * understands it (labels of letters, digits and inner hyphens, a top level of two letters or more, "*."
 * before them or not); every other line is skipped. In order, duplicates included. */
ShieldList *shield_list_parse_domains(GBytes *text);

/* Each entry of the n lists once, at the place of its first occurrence. n may be 0. */
ShieldList *shield_list_union(ShieldList *const *lists, gsize n);

/* The entries of list that don't stand in minus; the order, and duplicates, stay. */
ShieldList *shield_list_subtract(ShieldList *list, ShieldList *minus);
