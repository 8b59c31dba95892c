/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target for core/layout: paths against a second way to normalise them, which works in place, character
 * by character; and every file's path lies below its state directory's. The input is a path, a NUL, a stage.
 */
#include <glib.h>
#include <string.h>

#include "fuzz.h"
#include "layout.h"
#include "paths.h"

static char *naive_normalise(const char *path)
{
    g_autoptr(GString) out = g_string_new(NULL);
    gsize slashes = strspn(path, "/");

    if (slashes > 0)
        g_string_append(out, slashes == 2 ? "//" : "/");
    gsize root = out->len;
    for (const char *at = path + slashes; *at;) {
        gsize len = strcspn(at, "/");

        if (len != 1 || *at != '.') {
            if (out->len > root)
                g_string_append_c(out, '/');
            g_string_append_len(out, at, (gssize)len);
        }
        at += len;
        at += strspn(at, "/");
    }
    return g_strdup(out->len > 0 ? out->str : ".");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *path = g_strndup((const char *)data, size);
    gsize len = strlen(path);
    g_autofree char *stage =
        len < size ? g_strndup((const char *)data + len + 1, size - len - 1) : g_strdup("");
    g_autofree char *got = shield_path_normalise(path);
    g_autofree char *expected = naive_normalise(path);

    g_assert_cmpstr(got, ==, expected);
    for (int file = 0; file < SHIELD_N_FILES; file++) {
        const char *name = shield_layout_name((ShieldFile)file);
        g_autofree char *below =
            name ? g_strdup(name) : g_strconcat("hooks/terok-shield-", stage, ".json", NULL);
        /* Behind a root that is empty or only slashes the separator is there already. */
        g_autofree char *joined = g_strconcat(got, g_str_has_suffix(got, "/") ? "" : "/", below, NULL);
        g_autofree char *whole = naive_normalise(joined);
        g_autofree char *file_path = shield_layout_path(path, (ShieldFile)file, stage);

        g_assert_cmpstr(file_path, ==, whole);
    }
    return 0;
}
