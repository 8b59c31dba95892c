/* SPDX-License-Identifier: Apache-2.0 */
/* inspect: what is shown, and problem lines; see inspect.h. */
#include "inspect.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "directory.h"
#include "error.h"
#include "open.h"

ShieldShow shield_shows(const char *name, mode_t type, gboolean in_hooks)
{
    if (strlen(name) > NAME_MAX) /* some filesystems have such names, the view does not */
        return SHIELD_SHOW_NOT;
    if (!S_ISDIR(type))
        return SHIELD_SHOW_FILE;
    return !in_hooks && strcmp(name, shield_layout_name(SHIELD_HOOKS_DIR)) == 0 ? SHIELD_SHOW_DIRECTORY
                                                                                : SHIELD_SHOW_NOT;
}

static void add_problem(GPtrArray *problems, const char *label, const ShieldEntry *entry, gboolean in_hooks)
{
    gboolean is_list = !in_hooks && shield_computed_is_source(entry->name);
    const char *what = S_ISDIR(entry->type)    ? "directory"
                       : S_ISFIFO(entry->type) ? "FIFO"
                       : S_ISSOCK(entry->type) ? "socket"
                                               : "device";

    if (strlen(entry->name) > NAME_MAX)
        return shield_error_add_line(problems, label, entry->name, "a name longer than 255 bytes: not shown");
    if (S_ISREG(entry->type) || shield_shows(entry->name, entry->type, in_hooks) == SHIELD_SHOW_DIRECTORY)
        return;
    if (S_ISLNK(entry->type)) {
        g_autoptr(GError) error = NULL;

        shield_error_set_errno(&error, ELOOP, label, entry->name);
        g_ptr_array_add(problems, g_strdup(error->message));
        return;
    }
    g_autofree char *text = g_strdup_printf("%s%s", what,
                                            is_list ? " in a list's place: counts as a missing file"
                                            : S_ISDIR(entry->type) ? ": not shown"
                                                                   : ": not read");
    shield_error_add_line(problems, label, entry->name, text);
}

static void inspect_directory(const char *label, int dirfd, gboolean in_hooks, GPtrArray *problems)
{
    g_autoptr(GPtrArray) entries = shield_directory_list(dirfd);

    if (!entries && errno == ENOENT)
        return; /* it has just gone */
    if (!entries) {
        g_autoptr(GError) error = NULL;

        shield_error_set_errno(&error, errno, label, NULL);
        g_ptr_array_add(problems, g_strdup(error->message));
        return;
    }
    for (guint i = 0; i < entries->len; i++) {
        const ShieldEntry *entry = g_ptr_array_index(entries, i);

        if (in_hooks || !shield_computed_find(entry->name)) /* a computed file hides what is below it */
            add_problem(problems, label, entry, in_hooks);
    }
}

static void inspect_list(ShieldBundle *bundle, int dirfd, ShieldFile file, GPtrArray *problems,
                         GPtrArray *degraded)
{
    g_autoptr(ShieldReading) reading = shield_bundle_reading(bundle, dirfd, file);

    if (shield_bundle_has_refused(bundle, file))
        shield_error_add_line(problems, shield_bundle_label(bundle), shield_layout_name(file),
                              "being written, for longer than an open waits");
    else if (reading && reading->error)
        g_ptr_array_add(problems, g_strdup(reading->error->message));
    if (reading && reading->without_lease)
        shield_error_add_line(degraded, shield_bundle_label(bundle), shield_layout_name(file),
                              "no lease to be had: two equal readings stand for it");
}

void shield_inspect(ShieldBundle *bundle, int dirfd, GPtrArray *problems, GPtrArray *degraded)
{
    const char *label = shield_bundle_label(bundle);
    g_auto(ShieldFd) hooks = shield_open_within(dirfd, shield_layout_name(SHIELD_HOOKS_DIR));

    if (hooks < 0 && errno == EXDEV)
        shield_error_add_line(problems, label, shield_layout_name(SHIELD_HOOKS_DIR), SHIELD_COVERED);
    inspect_directory(label, dirfd, FALSE, problems);
    if (hooks >= 0) {
        g_autofree char *hooks_label = g_strconcat(label, "/", shield_layout_name(SHIELD_HOOKS_DIR), NULL);
        inspect_directory(hooks_label, hooks, TRUE, problems);
    }
    for (int file = 0; file < SHIELD_N_FILES; file++) {
        if (shield_computed_is_source(shield_layout_name((ShieldFile)file)))
            inspect_list(bundle, dirfd, (ShieldFile)file, problems, degraded);
    }
}
