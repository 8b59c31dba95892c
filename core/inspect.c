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
#include "lines.h"
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

gboolean shield_is_counted(const char *name, gboolean in_hooks)
{
    ShieldFile file;

    return in_hooks || (!shield_layout_find_name(name, &file) && !shield_computed_find(name));
}

/* What is wrong with what stands under a name, as a line; NULL: nothing. Of a link in a list's place the
 * list's reading tells. */
static char *problem_of(const char *label, const ShieldEntry *entry, gboolean in_hooks)
{
    gboolean is_list = !in_hooks && shield_computed_is_source(entry->name);
    const char *what = S_ISDIR(entry->type)    ? "directory"
                       : S_ISFIFO(entry->type) ? "FIFO"
                       : S_ISSOCK(entry->type) ? "socket"
                                               : "device";

    if (strlen(entry->name) > NAME_MAX)
        return shield_error_line(label, entry->name, "a name longer than 255 bytes: not shown");
    if (S_ISREG(entry->type) || shield_shows(entry->name, entry->type, in_hooks) == SHIELD_SHOW_DIRECTORY)
        return NULL;
    if (S_ISLNK(entry->type)) {
        g_autoptr(GError) error = NULL;

        shield_error_set_errno(&error, ELOOP, label, entry->name);
        return is_list ? NULL : g_strdup(error->message);
    }
    g_autofree char *text = g_strdup_printf("%s%s", what,
                                            is_list ? " in a list's place: counts as a missing file"
                                            : S_ISDIR(entry->type) ? ": not shown"
                                                                   : ": not read");
    return shield_error_line(label, entry->name, text);
}

/* A directory that is being looked through. */
typedef struct {
    const char *label;
    gboolean in_hooks;
    ShieldFirst *odd; /* lines */
    gsize n_counted;
    gboolean has_hooks;
} Looked;

static void look_at(void *data, const ShieldEntry *entry)
{
    Looked *looked = data;

    if (!looked->in_hooks && shield_computed_find(entry->name))
        return; /* a computed file hides what is below it */

    char *problem = problem_of(looked->label, entry, looked->in_hooks);
    if (problem)
        shield_first_add(looked->odd, problem);
    ShieldShow shown = shield_shows(entry->name, entry->type, looked->in_hooks);
    looked->n_counted += shown != SHIELD_SHOW_NOT && shield_is_counted(entry->name, looked->in_hooks);
    looked->has_hooks |= shown == SHIELD_SHOW_DIRECTORY;
}

/* TRUE: there may be hooks in it. */
static gboolean inspect_directory(const char *label, int dirfd, gboolean in_hooks, GPtrArray *problems,
                                  ShieldFirst *odd)
{
    Looked looked = {label, in_hooks, odd, 0, FALSE};

    if (!shield_directory_visit(dirfd, look_at, &looked) && errno != ENOENT) { /* else it has just gone */
        g_autoptr(GError) error = NULL;

        looked.has_hooks = TRUE;
        shield_error_set_errno(&error, errno, label, NULL);
        g_ptr_array_add(problems, g_strdup(error->message));
    }
    if (looked.n_counted > SHIELD_MAX_NAMES) {
        g_autofree char *text = g_strdup_printf("more than %d names: %" G_GSIZE_FORMAT " not shown",
                                                SHIELD_MAX_NAMES, looked.n_counted - SHIELD_MAX_NAMES);
        shield_error_add_line(problems, NULL, label, text);
    }
    return looked.has_hooks;
}

static void inspect_hooks(const char *label, int dirfd, GPtrArray *problems, ShieldFirst *odd)
{
    const char *name = shield_layout_name(SHIELD_HOOKS_DIR);
    g_auto(ShieldFd) hooks = shield_open_within(dirfd, name);
    g_autofree char *hooks_label = g_strconcat(label, "/", name, NULL);

    if (hooks >= 0)
        (void)inspect_directory(hooks_label, hooks, TRUE, problems, odd);
    else if (errno == EXDEV)
        shield_error_add_line(problems, label, name, SHIELD_COVERED);
}

/* reading: NULL if it was never read. */
static void inspect_list(ShieldBundle *bundle, ShieldFile file, const ShieldReading *reading,
                         GPtrArray *problems, GPtrArray *degraded)
{
    if (shield_bundle_has_refused(bundle, file))
        shield_error_add_line(problems, shield_bundle_label(bundle), shield_layout_name(file),
                              "being written, for longer than an open waits");
    else if (reading && reading->error)
        g_ptr_array_add(problems, g_strdup(reading->error->message));
    if (reading && reading->without_lease)
        shield_error_add_line(degraded, shield_bundle_label(bundle), shield_layout_name(file),
                              "no lease to be had: two equal readings stand for it");
}

guint shield_inspect(ShieldBundle *bundle, int dirfd, GPtrArray *problems, GPtrArray *degraded)
{
    const char *label = shield_bundle_label(bundle);
    g_autoptr(GPtrArray) readings = shield_bundle_readings(bundle, dirfd);
    g_auto(ShieldFirst) odd = {0};
    guint before = problems->len, lists;

    shield_lines_init(&odd);
    if (inspect_directory(label, dirfd, FALSE, problems, &odd))
        inspect_hooks(label, dirfd, problems, &odd);
    lists = problems->len;
    for (int file = 0; file < SHIELD_N_LISTS; file++) {
        if (shield_computed_is_source(shield_layout_name((ShieldFile)file)))
            inspect_list(bundle, (ShieldFile)file, g_ptr_array_index(readings, file), problems, degraded);
    }
    lists = problems->len - lists;
    shield_lines_move(problems, &odd, SHIELD_MAX_LINES - (problems->len - before), label, "problems");
    return lists;
}
