/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target for fs/options: whatever the command line, what comes of it is within the limits that the
 * manual gives, and fit to be mounted with: of the mount's options each is one of ours. What is wrong is said
 * in one line, in which nothing of the command line is raw. The input is the words, with NULs between them.
 */
#include <glib.h>
#include <stdio.h>
#include <string.h>

#include "fuzz.h"
#include "options.h"

#define MAX_WORDS 16

/* The words of an option list, in which a backslash takes a comma's meaning. */
static GPtrArray *split(const char *list)
{
    GPtrArray *words = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GString) word = g_string_new(NULL);

    for (;; list++) {
        if (*list == '\\' && list[1]) {
            g_string_append_c(word, *++list);
        } else if (*list == ',' || *list == '\0') {
            g_ptr_array_add(words, g_strdup(word->str));
            g_string_truncate(word, 0);
            if (*list == '\0')
                return words;
        } else {
            g_string_append_c(word, *list);
        }
    }
}

static gboolean is_ours(const char *word)
{
    static const char *const words[] = {"subtype=shieldfs",    "nosuid", "nodev", "noexec", "allow_other",
                                        "default_permissions", NULL};

    return g_strv_contains(words, word) || g_str_has_prefix(word, "context=") ||
           g_str_has_prefix(word, "fscontext=") || g_str_has_prefix(word, "defcontext=") ||
           g_str_has_prefix(word, "rootcontext=");
}

static void check_mount_args(const SfsOptions *options)
{
    g_auto(GStrv) args = sfs_options_mount_args(options, "/mnt");
    g_autoptr(GPtrArray) words = split(args[1]);
    guint needed = 0;

    g_assert_cmpstr(args[0], ==, "-o");
    g_assert_null(args[2]);
    g_assert_true(g_str_has_prefix(g_ptr_array_index(words, 0), "fsname="));
    for (guint i = 1; i < words->len; i++) {
        const char *word = g_ptr_array_index(words, i);

        g_assert_true(is_ours(word));
        g_assert_true(strcmp(word, "allow_other") != 0 || options->allow_other);
        needed += strcmp(word, "nosuid") == 0 || strcmp(word, "nodev") == 0 || strcmp(word, "noexec") == 0;
    }
    g_assert_cmpuint(needed, ==, 3);
}

static void check(const SfsOptions *options)
{
    g_assert_true(*options->mountpoint);
    g_assert_nonnull(options->sources[0]);
    for (char **source = options->sources; *source; source++)
        g_assert_true(g_path_is_absolute(*source));
    g_assert_true(options->policy.max_size >= 1 && options->policy.max_size <= (gsize)1 << 30);
    g_assert_true(options->policy.settle_ms <= 60 * 60 * 1000);
    g_assert_true(options->poll_sec >= 1 && options->poll_sec <= 60 * 60);
    g_assert_true(options->cache >= 1 && options->cache <= (gsize)1 << 40);
    check_mount_args(options);
}

/* One line of ours; libfuse has lines of its own. */
static void check_complaint(const char *said)
{
    const char *line = g_str_has_prefix(said, "shieldfs: ") ? said : strstr(said, "\nshieldfs: ");

    g_assert_true(*said);
    if (!g_str_has_prefix(said, "shieldfs: "))
        return;
    g_assert_true(g_utf8_validate(line, -1, NULL) && strchr(line, '\n') == line + strlen(line) - 1);
    for (; *line != '\n'; line = g_utf8_next_char(line))
        g_assert_true(g_unichar_isprint(g_utf8_get_char(line)));
}

/* With what it says on the standard streams in *said. */
static SfsOptionsResult parse(SfsOptions *options, int argc, char **argv, char **said)
{
    size_t size;
    FILE *out = stdout, *err = stderr, *memory = open_memstream(said, &size);

    stdout = stderr = memory;
    SfsOptionsResult result = sfs_options_parse(options, argc, argv);
    stdout = out;
    stderr = err;
    (void)fclose(memory);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput input = {data, size};
    char program[] = "shieldfs", *argv[MAX_WORDS + 2] = {program}, *said = NULL;
    int argc = 1;
    SfsOptions options;

    while (input.size > 0 && argc <= MAX_WORDS)
        argv[argc++] = fuzz_word(&input);
    switch (parse(&options, argc, argv, &said)) {
    case SFS_OPTIONS_RUN:
        check(&options);
        break;
    case SFS_OPTIONS_WRONG:
        check_complaint(said);
        break;
    case SFS_OPTIONS_DONE:
    default:
        g_assert_true(*said);
        break;
    }
    sfs_options_clear(&options);
    free(said);
    for (int i = 1; i < argc; i++)
        g_free(argv[i]);
    return 0;
}
