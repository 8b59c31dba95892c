/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target for the SOURCE word of fs/options: any paths, escaped and joined as the manual says, come back
 * as they were, duplicates dropped, and in the mount options nothing of them becomes a word of its own. The
 * input is the paths with NULs between them.
 */
#include <glib.h>
#include <string.h>

#include "catalog.h"
#include "fuzz.h"
#include "options.h"
#include "process/mounts.h"

static void append_escaped(GString *out, const char *path)
{
    for (; *path; path++) {
        if (*path == ':' || *path == '\\')
            g_string_append_c(out, '\\');
        g_string_append_c(out, *path);
    }
}

/* The first word of an option list, unescaped; *end is what comes behind its comma. */
static char *first_word(const char *words, const char **end)
{
    g_autoptr(GString) out = g_string_new(NULL);

    for (; *words && *words != ','; words++) {
        if (*words == '\\')
            words++;
        g_string_append_c(out, *words);
    }
    *end = *words ? words + 1 : words;
    return g_strdup(out->str);
}

static void check(char *source, const GPtrArray *expected)
{
    char program[] = "shieldfs", mountpoint[] = "/mnt";
    char *argv[] = {program, source, mountpoint, NULL};
    SfsOptions options;

    g_assert_cmpint(sfs_options_parse(&options, 3, argv), ==, SFS_OPTIONS_RUN);
    g_assert_cmpuint(g_strv_length(options.sources), ==, expected->len);
    for (guint i = 0; i < expected->len; i++)
        g_assert_cmpstr(options.sources[i], ==, g_ptr_array_index(expected, i));
    g_assert_cmpstr(options.mountpoint, ==, "/mnt");

    g_auto(GStrv) args = sfs_options_mount_args(&options, "/mnt");
    const char *rest;
    g_autofree char *word = first_word(args[1], &rest);
    g_assert_cmpstr(options.fsname, ==, source);
    gboolean fits = sfs_mountinfo_fit(source, "/mnt");
    g_autofree char *fsname = g_strconcat("fsname=", fits ? source : SFS_MOUNTINFO_DEVICE, NULL);
    g_assert_cmpstr(word, ==, fsname);
    g_assert_cmpstr(rest, ==, "subtype=shieldfs,nosuid,nodev,noexec");
    sfs_options_clear(&options);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GPtrArray) expected = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GString) source = g_string_new(NULL);

    for (gsize at = 0; at <= size; at++) {
        g_autofree char *rest = g_strndup((const char *)data + at, size - at); /* up to the next NUL */
        g_autoptr(GString) path = g_string_new("/");

        g_string_append(path, rest);
        g_string_replace(path, "..", "dd", 0); /* what ".." comes to depends on what is on disk */
        g_autofree char *whole = shield_path_absolute(path->str);

        if (source->len > 0)
            g_string_append_c(source, ':');
        append_escaped(source, path->str);
        if (!g_ptr_array_find_with_equal_func(expected, whole, g_str_equal, NULL))
            g_ptr_array_add(expected, g_steal_pointer(&whole));
        at += strlen(rest);
    }
    check(source->str, expected);
    return 0;
}
