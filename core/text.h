/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text: bytes to entries, exactly as the contract's readers decode, split and strip. They are Python, so this
 * is str.splitlines and str.strip on strictly decoded UTF-8. It must not know files, lists or what an entry
 * means. No function here copies the text: entries are slices of it.
 */
#pragma once

#include "shieldstate.h"

/* Is this strict UTF-8 (NULs allowed; no overlong forms, no surrogates, nothing above U+10FFFF)?
 * If not, *bad is the offset, from 0, of the sequence that can't be decoded. */
gboolean shield_text_validate(const char *bytes, gsize len, gsize *bad);

/* What Python's str.strip leaves of a valid text. */
ShieldSlice shield_text_strip(ShieldSlice text);

/* Takes the next entry (a line, stripped, not empty) off *rest, which must be valid UTF-8.
 * Returns FALSE when there is none left. */
gboolean shield_text_next_entry(ShieldSlice *rest, ShieldSlice *entry);

/* Universal newlines: CR LF and CR become LF. The caller frees the string. */
GString *shield_text_universal_newlines(ShieldSlice text);

/* A copy for logs and status lines: what is not printable (ASCII or valid UTF-8) becomes \xNN byte by byte,
 * and a backslash is doubled, so that nothing in a bundle can forge a line. len may be -1 for a C string. */
char *shield_text_escape(const char *bytes, gssize len);
