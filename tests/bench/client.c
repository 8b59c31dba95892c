/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client: does one thing with a mount many times, and prints how long it took:
 *
 *   client read FILE ROUNDS            open, fstat, read to the end, close
 *   client list DIR ROUNDS             the names in a directory
 *   client stat DIR ROUNDS             the same, and lstat of each
 *   client cat DIR NAME ROUNDS         reads NAME in each directory in DIR
 *   client many DIR NAME THREADS MS    threads that each read another such file, for MS milliseconds
 *   client run PROGRAM WORD...         a program, once
 *
 * The first four print the median of a round in nanoseconds, and the bytes or names of one round; `many`
 * prints the reads of a second, and the bytes of one; `run` prints nanoseconds and the peak of its memory in
 * bytes, on standard error. What begins with a dot is left out.
 */
#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <glib.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHUNK 131072
/* Rounds that take long are fewer. */
#define MOST_NSEC G_GUINT64_CONSTANT(1000000000)

static guint64 now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (guint64)time.tv_sec * G_GUINT64_CONSTANT(1000000000) + (guint64)time.tv_nsec;
}

/* As cat(1) does it; returns the bytes. */
static guint64 read_file(int dirfd, const char *path, char *buffer)
{
    int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    guint64 total = 0;
    ssize_t len;

    if (fd < 0 || fstat(fd, &st) < 0)
        err(EXIT_FAILURE, "%s", path);
    while ((len = read(fd, buffer, CHUNK)) > 0)
        total += (guint64)len;
    if (len < 0 || close(fd) < 0)
        err(EXIT_FAILURE, "%s", path);
    return total;
}

/* What is done with each name of a directory; it adds to the total. */
typedef guint64 (*EachFunc)(int dirfd, const char *name, const char *file, char *buffer);

static guint64 each_count(int dirfd, const char *name, const char *file, char *buffer)
{
    return 1;
}

static guint64 each_stat(int dirfd, const char *name, const char *file, char *buffer)
{
    struct stat st;

    if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        err(EXIT_FAILURE, "%s", name);
    return 1;
}

static guint64 each_cat(int dirfd, const char *name, const char *file, char *buffer)
{
    g_autofree char *path = g_strconcat(name, "/", file, NULL);

    return read_file(dirfd, path, buffer);
}

static guint64 walk(const char *path, EachFunc each, const char *file, char *buffer)
{
    DIR *dir = opendir(path);
    const struct dirent *entry;
    guint64 total = 0;

    if (!dir)
        err(EXIT_FAILURE, "%s", path);
    while ((entry = readdir(dir))) {
        if (entry->d_name[0] != '.')
            total += each(dirfd(dir), entry->d_name, file, buffer);
    }
    closedir(dir);
    return total;
}

static int compare(const void *a, const void *b)
{
    guint64 left = *(const guint64 *)a, right = *(const guint64 *)b;

    return left < right ? -1 : left > right;
}

static void repeat(const char *path, EachFunc each, const char *file, guint rounds)
{
    g_autofree guint64 *times = g_new(guint64, rounds);
    g_autofree char *buffer = g_malloc(CHUNK);
    guint64 total = 0, first = now();
    guint made = 0;

    while (made < rounds && (made == 0 || now() - first < MOST_NSEC)) {
        guint64 start = now();

        total = each ? walk(path, each, file, buffer) : read_file(AT_FDCWD, path, buffer);
        times[made++] = now() - start;
    }
    qsort(times, made, sizeof *times, compare);
    printf("%" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT "\n", times[made / 2], total);
}

/* One of the threads of `many`. */
typedef struct {
    pthread_t thread;
    char *path;
    guint64 end, reads, bytes;
} Reader;

static void *read_until(void *data)
{
    Reader *reader = data;
    g_autofree char *buffer = g_malloc(CHUNK);

    while (now() < reader->end) {
        reader->bytes = read_file(AT_FDCWD, reader->path, buffer);
        reader->reads++;
    }
    return NULL;
}

static void read_at_once(const char *path, const char *file, guint count, guint64 msec)
{
    g_autofree Reader *readers = g_new0(Reader, count);
    guint64 reads = 0;
    guint found = 0;
    DIR *dir = opendir(path);
    const struct dirent *entry;

    if (!dir)
        err(EXIT_FAILURE, "%s", path);
    while (found < count && (entry = readdir(dir))) {
        if (entry->d_name[0] != '.')
            readers[found++].path = g_build_filename(path, entry->d_name, file, NULL);
    }
    closedir(dir);
    if (found < count)
        errx(EXIT_FAILURE, "%s: only %u directories", path, found);

    guint64 start = now();
    for (guint i = 0; i < count; i++) {
        readers[i].end = start + msec * 1000000;
        if (pthread_create(&readers[i].thread, NULL, read_until, &readers[i]) != 0)
            errx(EXIT_FAILURE, "no thread");
    }
    for (guint i = 0; i < count; i++) {
        pthread_join(readers[i].thread, NULL);
        reads += readers[i].reads;
        g_free(readers[i].path);
    }
    printf("%.0f %" G_GUINT64_FORMAT "\n", (double)reads * 1e9 / (double)(now() - start), readers[0].bytes);
}

/* From here, as a program inherits the peak of who forked it. */
static void run(char **argv)
{
    guint64 start = now();
    struct rusage usage;
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        execv(argv[0], argv);
        err(EXIT_FAILURE, "%s", argv[0]);
    }
    if (pid < 0 || wait4(pid, &status, 0, &usage) < 0)
        err(EXIT_FAILURE, "%s", argv[0]);
    if (status != 0)
        errx(EXIT_FAILURE, "%s ended with wait status %d", argv[0], status);
    fprintf(stderr, "%" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT "\n", now() - start,
            (guint64)usage.ru_maxrss * 1024);
}

static guint number(const char *word)
{
    guint64 value;

    if (!g_ascii_string_to_unsigned(word, 10, 1, G_MAXINT, &value, NULL))
        errx(2, "%s: no number", word);
    return (guint)value;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";

    if (strcmp(what, "read") == 0 && argc == 4)
        repeat(argv[2], NULL, NULL, number(argv[3]));
    else if (strcmp(what, "list") == 0 && argc == 4)
        repeat(argv[2], each_count, NULL, number(argv[3]));
    else if (strcmp(what, "stat") == 0 && argc == 4)
        repeat(argv[2], each_stat, NULL, number(argv[3]));
    else if (strcmp(what, "cat") == 0 && argc == 5)
        repeat(argv[2], each_cat, argv[3], number(argv[4]));
    else if (strcmp(what, "many") == 0 && argc == 6)
        read_at_once(argv[2], argv[3], number(argv[4]), number(argv[5]));
    else if (strcmp(what, "run") == 0 && argc > 2)
        run(argv + 2);
    else
        errx(2, "usage: client read|list|stat|cat|many|run ...: see client.c");
    return EXIT_SUCCESS;
}
