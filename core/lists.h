/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lists: the entries of a text in their order, each once, and what the contract does with them: union,
 * difference, domains. A list is immutable and counted, so threads share it without a lock. It must not know
 * which file is which.
 *
 * Comparison is by exact bytes, the first occurrence wins. A list keeps the text that its entries stand in,
 * and of each entry only its place there. What makes a list gives NULL if there is no memory for it.
 */
#pragma once

#include "shieldstate.h"

#define SHIELD_LIST_MAX_TEXT (2UL * 1024 * 1024 * 1024) /* bytes; no longer text becomes a list */

/* The entries of a valid UTF-8 text, in order, each once. Keeps a reference to text; or, if little of it is
 * left, to a text of its own that is no longer than half of that. */
ShieldList *shield_list_parse(GBytes *text);

/* The text that the entries of a list that was parsed stand in: parsed again, as entries, it gives an equal
 * list. A new reference. */
GBytes *shield_list_text(const ShieldList *list);

/* How many bytes a list takes besides its texts. */
gsize shield_list_memory(const ShieldList *list);

/* The domain names of a valid UTF-8 text: stripped, lower-cased, kept if they are a domain as the writer
 * understands it (labels of letters, digits and inner hyphens, a top level of two letters or more, "*."
 * before them or not); every other line is skipped. In order, each once. */
ShieldList *shield_list_parse_domains(GBytes *text);

/* Each entry of the n lists once, at the place of its first occurrence. n may be 0. The longest list had best
 * be the first. */
ShieldList *shield_list_union(ShieldList *const *lists, gsize n);

/* The entries of list that don't stand in minus, in their order. */
ShieldList *shield_list_subtract(ShieldList *list, ShieldList *minus);

/* Both at once: the union of the n lists, less the entries of minus. */
ShieldList *shield_list_union_less(ShieldList *const *lists, gsize n, ShieldList *minus);
