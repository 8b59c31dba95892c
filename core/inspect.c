/* SPDX-License-Identifier: Apache-2.0 */
/* inspect: listings, what is shown, and problem lines; see inspect.h. */
#include "inspect.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "open.h"

static void entry_free(void *data)
{
    ShieldEntry *entry = data;

    g_free(entry->name);
    g_free(entry);
}

static int compare_entries(const void *pa, const void *pb)
{
    const ShieldEntry *const *a = pa, *const *b = pb;

    return strcmp((*a)->name, (*b)->name);
}

static void add_entry(GPtrArray *entries, int dirfd, const struct dirent *found)
{
    struct stat st;
    mode_t type = DTTOIF(found->d_type);

    if (strcmp(found->d_name, ".") == 0 || strcmp(found->d_name, "..") == 0)
        return;
    if (found->d_type == DT_UNKNOWN) {
        if (shield_stat(dirfd, found->d_name, &st) < 0)
            return; /* gone already */
        type = st.st_mode & S_IFMT;
    }

    ShieldEntry *entry = g_new(ShieldEntry, 1);
    *entry = (ShieldEntry){g_strdup(found->d_name), type};
    g_ptr_array_add(entries, entry);
}

GPtrArray *shield_list_directory(int dirfd)
{
    int fd = shield_open_listing(dirfd);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);

    if (!dir) {
        shield_fd_close(fd);
        return NULL;
    }

    g_autoptr(GPtrArray) entries = g_ptr_array_new_with_free_func(entry_free);
    const struct dirent *found;

    for (errno = 0; (found = readdir(dir)); errno = 0)
        add_entry(entries, fd, found);

    int failed = errno;
    closedir(dir);
    errno = failed;
    if (failed)
        return NULL;
    g_ptr_array_sort(entries, compare_entries);
    return g_steal_pointer(&entries);
}

ShieldShow shield_shows(const char *name, mode_t type, gboolean in_hooks)
{
    if (strlen(name) > NAME_MAX) /* some filesystems have such names, the view does not */
        return SHIELD_SHOW_NOT;
    if (!S_ISDIR(type))
        return SHIELD_SHOW_FILE;
    return !in_hooks && strcmp(name, shield_layout_name(SHIELD_HOOKS_DIR)) == 0 ? SHIELD_SHOW_DIRECTORY
                                                                                : SHIELD_SHOW_NOT;
}

void shield_add_line(GPtrArray *lines, const char *label, const char *name, const char *text)
{
    g_autofree char *subject = shield_error_subject(label, name);

    g_ptr_array_add(lines, g_strdup_printf("%s: %s", subject, text));
}

static void add_problem(GPtrArray *problems, const char *label, const ShieldEntry *entry, gboolean in_hooks)
{
    gboolean is_list = !in_hooks && shield_computed_is_source(entry->name);
    const char *what = S_ISDIR(entry->type)    ? "directory"
                       : S_ISFIFO(entry->type) ? "FIFO"
                       : S_ISSOCK(entry->type) ? "socket"
                                               : "device";

    if (strlen(entry->name) > NAME_MAX)
        return shield_add_line(problems, label, entry->name, "a name longer than 255 bytes: not shown");
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
    shield_add_line(problems, label, entry->name, text);
}

static void inspect_directory(const char *label, int dirfd, gboolean in_hooks, GPtrArray *problems)
{
    g_autoptr(GPtrArray) entries = shield_list_directory(dirfd);

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
        shield_add_line(problems, shield_bundle_label(bundle), shield_layout_name(file),
                        "being written, for longer than an open waits");
    else if (reading && reading->error)
        g_ptr_array_add(problems, g_strdup(reading->error->message));
    if (reading && reading->without_lease)
        shield_add_line(degraded, shield_bundle_label(bundle), shield_layout_name(file),
                        "no lease to be had: two equal readings stand for it");
}

void shield_inspect(ShieldBundle *bundle, int dirfd, GPtrArray *problems, GPtrArray *degraded)
{
    const char *label = shield_bundle_label(bundle);
    g_auto(ShieldFd) hooks = shield_open_beneath(dirfd, shield_layout_name(SHIELD_HOOKS_DIR));

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
