/* SPDX-License-Identifier: Apache-2.0 */
/* marking: from events to marks; see marking.h. */
#include "events/marking.h"

#include <string.h>
#include <sys/inotify.h>

#include "events/trace.h"
#include "view/index.h"

/* The name got another file, rather than the file another content. */
#define REPLACED (IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_MOVED_FROM)

static void mark_list(const SfsMarking *marking, const SfsContainer *container, guint32 mask,
                      const char *name)
{
    ShieldMark mark = SHIELD_MARK_CHANGED;

    if (mask & (IN_CLOSE_WRITE | REPLACED))
        mark = SHIELD_MARK_WRITTEN;
    else if (mask & IN_MODIFY)
        mark = SHIELD_MARK_WRITING;
    if (shield_bundle_invalidate(container->bundle, name, mark) && mark == SHIELD_MARK_WRITTEN &&
        marking->written)
        marking->written(marking->written_data, container);
}

static gboolean mark_structure(const SfsMarking *marking, const SfsTarget *target, guint32 mask,
                               const char *name)
{
    gboolean new = sfs_marks_structure(marking->marks);

    sfs_index_mark(sfs_view_index(marking->view), NULL);
    if (new)
        sfs_trace_directory(target->path, name, mask, "bundles may have come or gone");
    return new;
}

/* The event of name in target (NULL: of itself) tells of the place below, where the bundle of a container may
 * have come or gone. A change of attributes leads its name nowhere else. */
static gboolean mark_place(const SfsMarking *marking, const SfsTarget *target, const char *name, guint32 mask,
                           const char *below, const char *container)
{
    gboolean new = sfs_marks_place(marking->marks, target->source, below, container);

    if (mask & ~(guint32)(IN_ATTRIB | IN_ISDIR))
        sfs_index_mark(sfs_view_index(marking->view), container);
    else
        sfs_index_note(sfs_view_index(marking->view));
    if (new)
        sfs_trace_directory(target->path, name, mask, "bundles may have come or gone");
    return new;
}

/* A bundle's directory itself, or that of its hooks. */
static gboolean mark_itself(const SfsMarking *marking, const SfsTarget *target, guint32 mask)
{
    const ShieldPlace *place = target->container->place;

    if (target->hooks)
        return sfs_marks_name(marking->marks, target->container, FALSE, shield_layout_name(SHIELD_HOOKS_DIR),
                              mask);
    return mark_place(marking, target, NULL, mask, place->path, place->name);
}

/* A name in tasks/PROJECT, or shield in tasks/PROJECT/TASK. */
static gboolean mark_task(const SfsMarking *marking, const SfsTarget *target, guint32 mask, const char *name)
{
    g_auto(GStrv) parts = g_strsplit(target->below, "/", -1);
    const char *task = parts[2] ? parts[2] : name;
    g_autofree char *container = g_strconcat(parts[1], ".", task, NULL);
    g_autofree char *below = g_build_filename(parts[0], parts[1], task, NULL);

    if (parts[2] && strcmp(name, SHIELD_SHIELD) != 0)
        return FALSE;
    return mark_place(marking, target, name, mask, below, container);
}

/* A name in a directory that bundles are found by: which of them matter, depends on what it is. */
static gboolean mark_holder(const SfsMarking *marking, const SfsTarget *target, guint32 mask,
                            const char *name)
{
    gboolean in_source = *target->below == '\0', in_tasks = strcmp(target->below, SHIELD_TASKS) == 0;

    if (in_source && strcmp(name, SHIELD_CONTAINERS) != 0 && strcmp(name, SHIELD_TASKS) != 0) {
        sfs_index_note(sfs_view_index(marking->view)); /* it may be told what a source looks like */
        return FALSE;
    }
    if (in_source || (in_tasks && (mask & IN_ISDIR)))
        return mark_structure(marking, target, mask, name);
    if (!in_tasks && strcmp(target->below, SHIELD_CONTAINERS) != 0)
        return mark_task(marking, target, mask, name);

    /* A bundle, or what is none, be it told in the status file. */
    g_autofree char *below = g_build_filename(target->below, name, NULL);
    return mark_place(marking, target, name, mask, below, name);
}

gboolean sfs_marking_event(const SfsMarking *marking, const SfsTarget *target, guint32 mask, const char *name)
{
    gboolean new;

    if (!target->container)
        return name && target->below ? mark_holder(marking, target, mask, name)
                                     : mark_structure(marking, target, mask, name);
    if (!name)
        return mark_itself(marking, target, mask);
    if (!target->hooks)
        mark_list(marking, target->container, mask, name);
    new = sfs_marks_name(marking->marks, target->container, target->hooks, name, mask);
    if (new)
        sfs_trace_inotify(target->container, target->hooks, name, mask, "marked");
    return new;
}

void sfs_marking_everything(const SfsMarking *marking)
{
    (void)sfs_marks_everything(marking->marks);
    sfs_index_mark(sfs_view_index(marking->view), NULL);
}
