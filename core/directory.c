/* SPDX-License-Identifier: Apache-2.0 */
/* directory: listings; see directory.h. */
#include "directory.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

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

GPtrArray *shield_directory_list(int dirfd)
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
