/* SPDX-License-Identifier: Apache-2.0 */
/* paths: see paths.h. */
#include "paths.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

gboolean shield_path_contains(const char *outer, const char *inner)
{
    gsize len = strlen(outer);

    if (len > 0 && outer[len - 1] == '/') /* the root */
        len--;
    return strncmp(outer, inner, len) == 0 && (inner[len] == '/' || inner[len] == '\0');
}

char *shield_path_normalise(const char *path)
{
    g_auto(GStrv) parts = g_strsplit(path, "/", -1);
    GString *out = g_string_new(NULL);

    /* POSIX gives exactly two leading slashes a meaning of their own; pathlib keeps them. */
    if (path[0] == '/')
        g_string_append(out, path[1] == '/' && path[2] != '/' ? "//" : "/");
    for (char **part = parts; *part; part++) {
        if (**part == '\0' || strcmp(*part, ".") == 0)
            continue;
        if (out->len > 0 && out->str[out->len - 1] != '/')
            g_string_append_c(out, '/');
        g_string_append(out, *part);
    }
    if (out->len == 0)
        g_string_append_c(out, '.');
    return g_string_free(out, FALSE);
}

char *shield_path_absolute(const char *path)
{
    g_autofree char *here = *path == '/' ? NULL : g_get_current_dir(); /* the server may not ask for it */
    g_autofree char *joined = here ? g_strconcat(here, "/", path, NULL) : g_strdup(path);
    char *normal = shield_path_normalise(joined);

    if (normal[0] == '/' && normal[1] == '/') /* pathlib's own idea of two leading slashes */
        memmove(normal, normal + 1, strlen(normal));
    return normal;
}

char *shield_path_resolve(const char *path)
{
    g_autofree char *head = shield_path_absolute(path);
    g_autoptr(GString) tail = g_string_new(NULL);

    for (;;) {
        char *resolved = realpath(head, NULL);

        if (resolved) {
            g_autofree char *whole = g_strconcat(strcmp(resolved, "/") ? resolved : "", tail->str, NULL);
            free(resolved);
            return g_strdup(*whole ? whole : "/");
        }
        if (errno != ENOENT && errno != ENOTDIR)
            return NULL;

        char *slash = strrchr(head, '/');
        g_string_prepend(tail, slash);
        *slash = '\0';
        if (head == slash)
            memmove(slash, "/", 2);
    }
}
