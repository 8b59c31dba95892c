/* SPDX-License-Identifier: Apache-2.0 */
/* wrong: what is remembered, and lines with fields; see wrong.h. */
#include "view/wrong.h"

#include "error.h"
#include "lock.h"
#include "text.h"

/* What stands for a message; never 0. */
static guint32 number_of(const char *message)
{
    return MAX(shield_hash_name(message), 1);
}

/* Exchanges what is remembered of a list. */
static guint32 note_list(SfsContainer *container, ShieldFile list, guint32 number)
{
    SHIELD_AUTO_LOCK(&container->lock);
    guint32 before = container->wrong[list];

    container->wrong[list] = number;
    return before;
}

/* file: relative to the container, or to the root of the view. */
static void tell(GLogLevelFlags level, const SfsContainer *container, const char *file, const char *message)
{
    g_autofree char *escaped = shield_text_escape(file, -1);

    if (container)
        g_log_structured(G_LOG_DOMAIN, level, "SHIELDFS_CONTAINER", container->place->name, "SHIELDFS_FILE",
                         escaped, "MESSAGE", "%s", message);
    else
        g_log_structured(G_LOG_DOMAIN, level, "SHIELDFS_FILE", escaped, "MESSAGE", "%s", message);
}

/* "" for a container itself; the caller frees it. */
static char *path_within(const SfsNode *node)
{
    const SfsNode *parent = node->parent;

    if (!parent || node->kind == SFS_CONTAINER)
        return g_strdup("");
    return parent->kind == SFS_HOOKS || parent->kind == SFS_META
               ? g_build_filename(parent->name, node->name, NULL)
               : g_strdup(node->name);
}

void sfs_wrong_log(const SfsNode *node, GLogLevelFlags level, const char *text)
{
    g_autofree char *file = path_within(node);
    const char *name = node->container ? node->container->place->name : NULL;
    g_autofree char *subject = shield_error_subject(*file ? name : NULL, *file ? file : name);
    g_autofree char *message = g_strdup_printf("%s: %s", subject ? subject : "/", text);

    tell(level, node->container, file, message);
}

/* Is the message, as error.h makes it, about that file of a container? */
static gboolean is_about(const char *message, const SfsContainer *container, const char *file)
{
    g_autofree char *subject = shield_error_subject(container->place->name, file);
    g_autofree char *begin = g_strconcat(subject, ": ", NULL);

    return g_str_has_prefix(message, begin);
}

/* The list that the message is about, of those that the file is computed from; SHIELD_N_LISTS: none. */
static ShieldFile list_of(const SfsNode *file, const char *message)
{
    for (guint i = 0; file->computed && i < file->computed->n_sources; i++) {
        ShieldFile list = file->computed->sources[i];

        if (is_about(message, file->container, shield_layout_name(list)))
            return list;
    }
    return SHIELD_N_LISTS;
}

void sfs_wrong_tell(SfsTree *tree, SfsNode *file, const GError *error)
{
    const char *message = error->message;
    guint32 number = number_of(message);
    ShieldFile list = list_of(file, message);
    g_autofree char *path = path_within(file);

    if (list == SHIELD_N_LISTS && sfs_tree_note_wrong(tree, file, number) != number)
        tell(G_LOG_LEVEL_MESSAGE, file->container, path, message);
    else if (list < SHIELD_N_LISTS && note_list(file->container, list, number) != number)
        tell(G_LOG_LEVEL_MESSAGE, file->container, shield_layout_name(list), message);
}

static void list_is_right(SfsContainer *container, ShieldFile list)
{
    const char *name = shield_layout_name(list);
    g_autofree char *line = NULL;

    if (!note_list(container, list, 0))
        return;
    line = shield_error_line(container->place->name, name, "right again");
    tell(G_LOG_LEVEL_INFO, container, name, line);
}

void sfs_wrong_is_right(SfsTree *tree, SfsNode *file)
{
    for (guint i = 0; file->computed && i < file->computed->n_sources; i++)
        list_is_right(file->container, file->computed->sources[i]);
    if (sfs_tree_note_wrong(tree, file, 0))
        sfs_wrong_log(file, G_LOG_LEVEL_INFO, "right again");
}

void sfs_wrong_found(SfsContainer *container, const GPtrArray *problems)
{
    for (guint list = 0; list < SHIELD_N_LISTS; list++) {
        gboolean found = FALSE;

        for (guint i = 0; !found && i < problems->len; i++)
            found = is_about(g_ptr_array_index(problems, i), container, shield_layout_name((ShieldFile)list));
        if (!found)
            list_is_right(container, (ShieldFile)list);
    }
}
