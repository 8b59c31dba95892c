/* SPDX-License-Identifier: Apache-2.0 */
/* directory: listings; see directory.h. */
#include "directory.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "first.h"
#include "open.h"

/* What is listed: public first, so that an array of these is one of ShieldEntry. */
typedef struct {
    ShieldEntry entry;
    ShieldKeep keep;
} Listed;

typedef struct {
    GPtrArray *always;
    ShieldFirst most;
    ShieldKeepFunc keep;
    void *data;
} Listing;

static gboolean fill(ShieldEntry *entry, int dirfd, const struct dirent *found)
{
    struct stat st;

    *entry = (ShieldEntry){(char *)found->d_name, DTTOIF(found->d_type)};
    if (strcmp(found->d_name, ".") == 0 || strcmp(found->d_name, "..") == 0)
        return FALSE;
    if (found->d_type != DT_UNKNOWN)
        return TRUE;
    if (shield_stat(dirfd, found->d_name, &st) < 0)
        return FALSE; /* gone already */
    entry->type = st.st_mode & S_IFMT;
    return TRUE;
}

gboolean shield_directory_visit(int dirfd, ShieldEntryFunc func, void *data)
{
    int fd = shield_open_listing(dirfd);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *found;
    ShieldEntry entry;

    if (!dir) {
        shield_fd_close(fd);
        return FALSE;
    }
    for (errno = 0; (found = readdir(dir)); errno = 0) {
        if (fill(&entry, fd, found))
            func(data, &entry);
    }

    int failed = errno;
    closedir(dir);
    errno = failed;
    return failed == 0;
}

static void listed_free(void *data)
{
    Listed *listed = data;

    g_free(listed->entry.name);
    g_free(listed);
}

static int compare_names(const void *pa, const void *pb)
{
    const ShieldEntry *const *a = pa, *const *b = pb;

    return strcmp((*a)->name, (*b)->name);
}

static int compare_listed(const void *pa, const void *pb)
{
    const Listed *a = *(const Listed *const *)pa, *b = *(const Listed *const *)pb;

    return a->keep != b->keep ? (a->keep > b->keep) - (a->keep < b->keep) : compare_names(pa, pb);
}

static void list_entry(void *data, const ShieldEntry *entry)
{
    Listing *listing = data;
    ShieldKeep keep = listing->keep ? listing->keep(listing->data, entry) : SHIELD_KEEP_ALWAYS;

    if (keep == SHIELD_KEEP_NOT)
        return;

    Listed *listed = g_new(Listed, 1);
    *listed = (Listed){{g_strdup(entry->name), entry->type}, keep};
    if (keep == SHIELD_KEEP_ALWAYS)
        g_ptr_array_add(listing->always, listed);
    else
        shield_first_add(&listing->most, listed);
}

GPtrArray *shield_directory_list_most(int dirfd, guint max, ShieldKeepFunc keep, void *data)
{
    Listing listing = {g_ptr_array_new_with_free_func(listed_free), {0}, keep, data};
    g_autoptr(GPtrArray) entries = listing.always;

    shield_first_init(&listing.most, max, compare_listed, listed_free);
    g_autoptr(GPtrArray) most = listing.most.items;
    if (!shield_directory_visit(dirfd, list_entry, &listing))
        return NULL;
    shield_first_cut(&listing.most, max);
    g_ptr_array_extend_and_steal(entries, g_steal_pointer(&most));
    g_ptr_array_sort(entries, compare_names);
    return g_steal_pointer(&entries);
}

GPtrArray *shield_directory_list(int dirfd)
{
    return shield_directory_list_most(dirfd, 0, NULL, NULL);
}
