/* SPDX-License-Identifier: Apache-2.0 */
/* lines: the first hundred, and a count; see lines.h. */
#include "lines.h"

#include <string.h>

#include "error.h"

static int compare_lines(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void shield_lines_init(ShieldFirst *lines)
{
    shield_first_init(lines, SHIELD_MAX_LINES, compare_lines, g_free);
}

void shield_lines_move(GPtrArray *to, ShieldFirst *lines, guint room, const char *label, const char *what)
{
    shield_first_cut(lines, room);
    g_ptr_array_extend_and_steal(to, g_steal_pointer(&lines->items));
    if (lines->left_out > 0) {
        g_autofree char *text = g_strdup_printf("more than %d %s: %" G_GSIZE_FORMAT " not listed",
                                                SHIELD_MAX_LINES, what, lines->left_out);
        shield_error_add_line(to, NULL, label, text);
    }
}
