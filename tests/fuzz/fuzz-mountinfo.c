/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target for events/mountinfo: any lines are read without harm; a line as the kernel writes it gives the
 * words that it was made of; and of a table exactly those mounts are picked that are asked for. The input is
 * three words (mount point, type, device) with NULs between them, and then lines.
 */
#include <glib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "events/mountinfo.h"
#include "fuzz.h"

/* As the kernel does it: mangle(), with what seq_path escapes. */
static char *escape(const char *word)
{
    GString *out = g_string_new(NULL);

    for (; *word; word++) {
        if (strchr(" \t\n\\#", *word))
            g_string_append_printf(out, "\\%03o", (guint)(guchar)*word);
        else
            g_string_append_c(out, *word);
    }
    return g_string_free(out, FALSE);
}

static void check_line(const char *path, const char *type, const char *device)
{
    g_autofree char *path_word = escape(path), *type_word = escape(type), *device_word = escape(device);
    g_autofree char *line = g_strdup_printf("36 35 98:7 / %s rw,noatime shared:1 - %s %s rw,errors=continue",
                                            path_word, type_word, device_word);
    g_autoptr(SfsMount) mount = sfs_mountinfo_parse(line);

    g_assert_nonnull(mount);
    g_assert_cmpstr(mount->path, ==, path);
    g_assert_cmpstr(mount->type, ==, type);
    g_assert_cmpstr(mount->device, ==, device);
    g_assert_cmpint(mount->id, ==, 36);
    g_assert_true(mount->dev == makedev(98, 7));
    g_assert_cmpint(mount->ours, ==, strcmp(type, "fuse.shieldfs") == 0);
    g_assert_cmpint(sfs_mountinfo_fit(device, path), ==,
                    strlen(device_word) + strlen(path_word) + 255 <= 4095);
}

static gboolean is_absolute(const char *path, const void *data)
{
    (void)data;
    return *path == '/';
}

/* A line is picked if it is one and its place is wanted. */
static void check_table(const char *table)
{
    g_autofree char *picked = sfs_mountinfo_pick(table, is_absolute, NULL);
    g_auto(GStrv) lines = g_strsplit(table, "\n", -1);
    guint wanted = 0, got = 0;

    for (char **line = lines; *line; line++) {
        g_autoptr(SfsMount) mount = sfs_mountinfo_parse(*line);

        wanted += mount && is_absolute(mount->path, NULL);
    }
    for (const char *at = picked; (at = strchr(at, '\n')); at++)
        got++;
    g_assert_cmpuint(got, ==, wanted);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput input = {data, size};
    g_autofree char *below = fuzz_word(&input), *type = fuzz_word(&input), *device = fuzz_word(&input);
    g_autofree char *path = g_strconcat("/", below, NULL); /* as each in the table begins */
    g_autofree char *table = fuzz_word(&input);

    fuzz_log_nothing(); /* GLib warns of a backslash at the end of a word */
    check_line(path, type, device);
    check_table(table);
    return 0;
}
