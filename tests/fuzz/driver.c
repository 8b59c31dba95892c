/* SPDX-License-Identifier: Apache-2.0 */
/*
 * driver: a main for a fuzz target, where libFuzzer is not there to give it one: it runs the target on every
 * file of a corpus directory, and then on what comes of each by taking bytes away or changing them, the same
 * each time, as often as its second argument says; fewer where SHIELD_ROUNDS is less than usual. TAP on
 * standard output; what does not hold aborts.
 */
#include <glib.h>
#include <stdio.h>
#include <string.h>

#include "fuzz.h"

#define MAX_CHANGES 8
#define USUAL_ROUNDS 2000

static void run(const char *bytes, gsize len)
{
    /* A copy of the exact size, so that a checker sees a read beyond the end. */
    g_autofree guint8 *copy = g_memdup2(bytes, MAX(len, 1));

    (void)LLVMFuzzerTestOneInput(copy, len);
}

static void run_mutations(const char *bytes, gsize len, guint64 mutations)
{
    static const char interesting[] = "\r\n\t \v\f\x1c\x1f\x80\x85\xa0\xc2\xe2\xff.:\\/*-aA0k\xaa\x84";
    g_autoptr(GRand) random = g_rand_new_with_seed(1);
    gint32 end = (gint32)MIN(len, G_MAXINT32);

    for (guint64 i = 0; i < mutations && end > 0; i++) {
        g_autofree char *mutant = g_memdup2(bytes, len);

        for (gint32 changes = g_rand_int_range(random, 1, MAX_CHANGES); changes > 0; changes--)
            mutant[g_rand_int_range(random, 0, end)] =
                g_rand_boolean(random) ? interesting[g_rand_int_range(random, 0, sizeof interesting)]
                                       : (char)g_rand_int_range(random, 0, 256);

        gsize start = g_rand_boolean(random) ? 0 : (gsize)g_rand_int_range(random, 0, end);
        run(mutant + start, len - start);
        run(mutant, len - start);
    }
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static GPtrArray *list_corpus(const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    const char *name;

    while (dir && (name = g_dir_read_name(dir)))
        g_ptr_array_add(names, g_strdup(name));
    g_ptr_array_sort(names, compare_names);
    return names;
}

static guint64 count_mutations(const char *usual)
{
    const char *rounds = g_getenv("SHIELD_ROUNDS");
    guint64 asked = rounds && *rounds ? g_ascii_strtoull(rounds, NULL, 10) : USUAL_ROUNDS;

    return MAX(g_ascii_strtoull(usual, NULL, 10) * MIN(asked, USUAL_ROUNDS) / USUAL_ROUNDS, 1);
}

int main(int argc, char **argv)
{
    g_autoptr(GPtrArray) names = list_corpus(argc == 3 ? argv[1] : "");
    guint64 mutations = count_mutations(argc == 3 ? argv[2] : "");

    if (names->len == 0) {
        puts("Bail out! no corpus: the arguments must be a directory of inputs and a number");
        return 1;
    }
    printf("1..%u\n", names->len);
    for (guint i = 0; i < names->len; i++) {
        const char *name = g_ptr_array_index(names, i);
        g_autofree char *path = g_build_filename(argv[1], name, NULL);
        g_autofree char *bytes = NULL;
        gsize len = 0;
        gboolean read = g_file_get_contents(path, &bytes, &len, NULL);

        if (read) {
            run(bytes, len);
            run_mutations(bytes, len, mutations);
        }
        printf("%sok %u %s\n", read ? "" : "not ", i + 1, name);
        fflush(stdout);
    }
    return 0;
}
