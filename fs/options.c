/* SPDX-License-Identifier: Apache-2.0 */
/* options: the option table, fstab words, sources, usage; see options.h. */
#define FUSE_USE_VERSION 314
#include "options.h"

#include <errno.h>
#include <fuse_lowlevel.h>
#include <fuse_opt.h>
#include <pwd.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "catalog.h"
#include "config.h"
#include "events/mountinfo.h"
#include "text.h"

/* A list is held in memory several times over while it is computed with; past this no machine is served well.
 */
#define MAX_MAX_SIZE (1024 * 1024 * 1024)
#define MAX_SETTLE_MS (60 * 60 * 1000)
#define DEFAULT_CACHE (64 * 1024 * 1024)
#define MAX_CACHE MIN((guint64)1024 * 1024 * 1024 * 1024, G_MAXSIZE)
#define DEFAULT_POLL_SEC 2
#define MAX_POLL_SEC (60 * 60)

enum { KEY_HELP, KEY_VERSION, KEY_LABEL };

/* What the table fills in; the values are checked afterwards. */
typedef struct {
    int foreground, debug, single_threaded, nonempty, allow_other;
    char *fsname, *settle, *poll, *max_size, *cache, *log_level;
    char *positional[2];
    GString *labels; /* SELinux's words, as an option list */
    gboolean help, version;
    char *wrong; /* the first word that nothing knows */
} Words;

#define WORD(text, field)                                                                                    \
    {                                                                                                        \
        text, offsetof(Words, field), 1                                                                      \
    }

static const struct fuse_opt table[] = {
    FUSE_OPT_KEY("-h", KEY_HELP),
    FUSE_OPT_KEY("--help", KEY_HELP),
    FUSE_OPT_KEY("-V", KEY_VERSION),
    FUSE_OPT_KEY("--version", KEY_VERSION),
    WORD("-f", foreground),
    WORD("-d", debug),
    WORD("debug", debug),
    WORD("-s", single_threaded),
    WORD("nonempty", nonempty),
    WORD("allow_other", allow_other),
    WORD("fsname=%s", fsname),
    WORD("settle=%s", settle),
    WORD("poll=%s", poll),
    WORD("max_size=%s", max_size),
    WORD("cache=%s", cache),
    WORD("loglevel=%s", log_level),
    FUSE_OPT_KEY("context=", KEY_LABEL),
    FUSE_OPT_KEY("fscontext=", KEY_LABEL),
    FUSE_OPT_KEY("defcontext=", KEY_LABEL),
    FUSE_OPT_KEY("rootcontext=", KEY_LABEL),
    FUSE_OPT_END,
};

static const char usage[] = "Usage: shieldfs [OPTIONS] [SOURCE] MOUNTPOINT\n"
                            "A live, read-only view of the firewall state of every shielded container.\n"
                            "\n"
                            "SOURCE is one or more state directories joined by ':' (a backslash escapes a\n"
                            "colon). Each is searched for containers/NAME and tasks/PROJECT/TASK/shield.\n"
                            "Without SOURCE, or with 'none', the default state directories are shown.\n"
                            "\n"
                            "  -f                     stay in the foreground; log to standard error\n"
                            "  -d, -o debug           the same, with a line for each request\n"
                            "  -s                     one thread only\n"
                            "  -h, --help             print this\n"
                            "  -V, --version          print the versions\n"
                            "  -o settle=MS           how long to wait for a list that is being written\n"
                            "                         (default 1000; 0: take it as it stands)\n"
                            "  -o poll=SECONDS        how often to compare what makes no inotify events\n"
                            "                         (default 2)\n"
                            "  -o max_size=SIZE       the longest list to read, in bytes or with K, M or G\n"
                            "                         (default 16M, at most 1G)\n"
                            "  -o cache=SIZE          how much to keep in memory of lists and of what is\n"
                            "                         computed, with what is open of it (default 64M)\n"
                            "  -o loglevel=WORD       what the log tells: error, warning, info (the\n"
                            "                         default) or debug, each with those before it\n"
                            "  -o nonempty            mount over a directory that is not empty\n"
                            "  -o allow_other         let other users in, to what they may read anyway\n"
                            "  -o fsname=NAME         what mount(8) shows as the device\n"
                            "\n"
                            "The words of fstab are taken as well. The view is always read-only, nosuid,\n"
                            "nodev and noexec. To unmount: fusermount3 -u MOUNTPOINT\n";

/* What mount(8), its helpers and fstab hand on that means nothing here. The view is read-only and mounted
 * nosuid,nodev,noexec whatever these say; it has no access times; it is unmounted when shieldfs ends; and the
 * kernel's check of the modes is on with allow_other, and of no use without. */
static const char silent[] =
    "ro rw dev nodev suid nosuid exec noexec sync async dirsync silent loud mand nomand iversion noiversion "
    "atime noatime diratime nodiratime relatime norelatime strictatime nostrictatime lazytime nolazytime "
    "symfollow nosymfollow private rprivate shared rshared slave rslave unbindable runbindable "
    "auto noauto user nouser users owner group defaults nofail _netdev auto_unmount default_permissions";
/* The same with a value, or the rest of a name, behind. */
static const char silent_beginnings[] = "user= helper= uhelper= comment= x- X-";

/* Nothing at all, as between two commas, is silent too. */
static gboolean is_silent(const char *word)
{
    g_auto(GStrv) words = g_strsplit(silent, " ", -1);
    g_auto(GStrv) beginnings = g_strsplit(silent_beginnings, " ", -1);

    for (char **begin = beginnings; *begin; begin++) {
        if (g_str_has_prefix(word, *begin))
            return TRUE;
    }
    return *word == '\0' || g_strv_contains((const char *const *)words, word);
}

/* In an option list a comma ends a word; a backslash takes its meaning away, and its own. */
static void append_word(GString *list, const char *word)
{
    if (list->len > 0)
        g_string_append_c(list, ',');
    for (; *word; word++) {
        if (*word == ',' || *word == '\\')
            g_string_append_c(list, '\\');
        g_string_append_c(list, *word);
    }
}

static int collect(void *data, const char *arg, int key, struct fuse_args *outargs)
{
    Words *words = data;

    (void)outargs;
    switch (key) {
    case KEY_HELP:
        words->help = TRUE;
        return 0;
    case KEY_VERSION:
        words->version = TRUE;
        return 0;
    case KEY_LABEL:
        append_word(words->labels, arg);
        return 0;
    case FUSE_OPT_KEY_NONOPT:
        for (gsize i = 0; i < G_N_ELEMENTS(words->positional); i++) {
            if (!words->positional[i]) {
                words->positional[i] = g_strdup(arg);
                return 0;
            }
        }
        break;
    case FUSE_OPT_KEY_OPT:
        if (is_silent(arg))
            return 0;
        break;
    default:
        break;
    }
    if (!words->wrong)
        words->wrong = g_strdup(arg);
    return 0;
}

static void words_clear(Words *words)
{
    free(words->fsname); /* libfuse's own allocations */
    free(words->settle);
    free(words->poll);
    free(words->max_size);
    free(words->cache);
    free(words->log_level);
    g_string_free(words->labels, TRUE);
    g_free(words->positional[0]);
    g_free(words->positional[1]);
    g_free(words->wrong);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Words, words_clear)

/* word: which one; NULL: none. */
static gboolean wrong(const char *what, const char *word)
{
    g_autofree char *escaped = shield_text_escape(word ? word : "", -1);
    const char *quote = word && !*word ? "''" : "";

    fprintf(stderr, "shieldfs: %s%s%s%s: see 'shieldfs --help'\n", quote, escaped, word ? ": " : "", what);
    return FALSE;
}

/* A whole number, with units if it is a size. */
static gboolean parse_number(const char *text, gboolean is_size, guint64 max, guint64 *value)
{
    char *end;
    guint shift = 0;

    if (!g_ascii_isdigit(*text))
        return FALSE;
    errno = 0;
    *value = g_ascii_strtoull(text, &end, 10);
    if (errno != 0)
        return FALSE;
    if (is_size && *end) {
        static const char units[] = "KMG";
        const char *unit = strchr(units, g_ascii_toupper(*end));

        if (!unit)
            return FALSE;
        shift = 10 * (guint)(unit - units + 1);
        end++;
    }
    if (*end || *value > max >> shift)
        return FALSE;
    *value <<= shift;
    return TRUE;
}

/* -d is about all there is to tell, whatever else stands there. */
static gboolean apply_log_level(SfsOptions *options, const Words *words)
{
    static const struct {
        const char *word;
        GLogLevelFlags level;
    } levels[] = {
        {"error", G_LOG_LEVEL_WARNING},
        {"warning", G_LOG_LEVEL_MESSAGE},
        {"info", G_LOG_LEVEL_INFO},
        {"debug", G_LOG_LEVEL_DEBUG},
    };
    const char *word = words->log_level ? words->log_level : "info";

    options->log_level = (GLogLevelFlags)0;
    for (gsize i = 0; i < G_N_ELEMENTS(levels); i++) {
        if (strcmp(word, levels[i].word) == 0)
            options->log_level = words->debug ? G_LOG_LEVEL_DEBUG : levels[i].level;
    }
    return options->log_level || wrong("-o loglevel= takes error, warning, info or debug", word);
}

static gboolean apply_values(SfsOptions *options, const Words *words)
{
    guint64 value;

    options->policy = (ShieldPolicy){SHIELD_DEFAULT_MAX_SIZE, SHIELD_DEFAULT_SETTLE_MS};
    if (words->settle) {
        if (!parse_number(words->settle, FALSE, MAX_SETTLE_MS, &value))
            return wrong("-o settle= takes milliseconds, at most an hour", words->settle);
        options->policy.settle_ms = (guint)value;
    }
    options->poll_sec = DEFAULT_POLL_SEC;
    if (words->poll) {
        if (!parse_number(words->poll, FALSE, MAX_POLL_SEC, &value) || value == 0)
            return wrong("-o poll= takes seconds, 1 to an hour", words->poll);
        options->poll_sec = (guint)value;
    }
    if (words->max_size) {
        if (!parse_number(words->max_size, TRUE, MAX_MAX_SIZE, &value) || value == 0)
            return wrong("-o max_size= takes 1 to 1G", words->max_size);
        options->policy.max_size = (gsize)value;
    }
    options->cache = DEFAULT_CACHE;
    if (words->cache) {
        if (!parse_number(words->cache, TRUE, MAX_CACHE, &value) || value == 0)
            return wrong("-o cache= takes 1 to 1024G", words->cache);
        options->cache = (gsize)value;
    }
    return TRUE;
}

/* Sources. "a:b\:c" is "a" and "b:c"; a backslash before anything else stands for itself. */
static GPtrArray *split_sources(const char *text)
{
    GPtrArray *sources = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GString) one = g_string_new(NULL);

    for (;; text++) {
        if (text[0] == '\\' && (text[1] == ':' || text[1] == '\\')) {
            g_string_append_c(one, *++text);
        } else if (*text == ':' || *text == '\0') {
            g_ptr_array_add(sources, g_strdup(one->str));
            g_string_truncate(one, 0);
            if (*text == '\0')
                return sources;
        } else {
            g_string_append_c(one, *text);
        }
    }
}

static const char *env(const char *name)
{
    const char *value = g_getenv(name);

    return value && *value ? value : NULL; /* an empty variable counts as unset */
}

/* A relative path needs a directory to begin at. */
static gboolean is_somewhere(const char *path)
{
    g_autofree char *here = *path == '/' ? NULL : getcwd(NULL, 0);

    return *path == '/' || here;
}

/* HOME, if it is one. */
static const char *home_directory(void)
{
    const char *home = env("HOME");
    const struct passwd *user = home && *home == '/' ? NULL : getpwuid(getuid());

    return user ? user->pw_dir : home && *home == '/' ? home : "/";
}

/* The state directory, then the task manager's root of today, then its older one. */
static GPtrArray *default_sources(void)
{
    GPtrArray *sources = g_ptr_array_new_with_free_func(g_free);
    const char *home = home_directory();

    if (env("TEROK_SHIELD_STATE_DIR"))
        g_ptr_array_add(sources, g_strdup(env("TEROK_SHIELD_STATE_DIR")));
    else if (env("XDG_STATE_HOME"))
        g_ptr_array_add(sources, g_build_filename(env("XDG_STATE_HOME"), "terok/shield", NULL));
    else
        g_ptr_array_add(sources, g_build_filename(home, ".local/state/terok/shield", NULL));

    if (env("TEROK_SANDBOX_LIVE_DIR"))
        g_ptr_array_add(sources, g_strdup(env("TEROK_SANDBOX_LIVE_DIR")));
    else
        g_ptr_array_add(sources, g_build_filename(home, ".local/share/terok/sandbox-live", NULL));
    g_ptr_array_add(sources, g_build_filename(home, ".local/share/terok/core", NULL));
    return sources;
}

static gboolean apply_sources(SfsOptions *options, const char *source)
{
    gboolean by_default = !source || strcmp(source, "none") == 0;
    g_autoptr(GPtrArray) given = by_default ? default_sources() : split_sources(source);
    g_autoptr(GPtrArray) sources = g_ptr_array_new_with_free_func(g_free);

    for (guint i = 0; i < given->len; i++) {
        const char *path = g_ptr_array_index(given, i);
        g_autofree char *whole = shield_path_absolute(path);

        if (*path == '\0')
            return wrong("an empty SOURCE", source ? source : path);
        if (!is_somewhere(path))
            return wrong("the current directory is gone: change to another", path);
        if (!g_ptr_array_find_with_equal_func(sources, whole, g_str_equal, NULL))
            g_ptr_array_add(sources, g_steal_pointer(&whole));
    }
    g_ptr_array_add(sources, NULL);
    options->sources = (char **)g_ptr_array_steal(sources, NULL);
    return TRUE;
}

/* A word that was not understood. */
static const char *what_is_wrong(const char *word)
{
    g_autofree char *begin = g_strconcat(word, "=", NULL);

    if (strcmp(word, "remount") == 0)
        return "this is between you and the kernel: mount -i -o remount,OPTIONS MOUNTPOINT";
    for (const struct fuse_opt *opt = table; opt->templ; opt++) {
        if (g_str_has_prefix(opt->templ, begin))
            return "this option takes a value, after '='";
    }
    return "unknown option, or one word too many";
}

static gboolean apply(SfsOptions *options, const Words *words)
{
    const char *source = words->positional[1] ? words->positional[0] : NULL;
    const char *mountpoint = words->positional[1] ? words->positional[1] : words->positional[0];

    if (words->wrong)
        return wrong(what_is_wrong(words->wrong), words->wrong);
    if (!mountpoint)
        return wrong("no MOUNTPOINT given", NULL);
    if (!*mountpoint)
        return wrong("an empty MOUNTPOINT", mountpoint);
    if (!is_somewhere(mountpoint))
        return wrong("the current directory is gone: change to another", mountpoint);

    options->mountpoint = g_strdup(mountpoint);
    options->foreground = words->foreground || words->debug;
    options->single_threaded = words->single_threaded;
    options->nonempty = words->nonempty;
    options->allow_other = words->allow_other;
    if (!apply_values(options, words) || !apply_log_level(options, words) || !apply_sources(options, source))
        return FALSE;
    if (words->fsname && !*words->fsname)
        return wrong("-o fsname= takes a name", words->fsname);
    options->fsname = g_strdup(words->fsname ? words->fsname : source ? source : SFS_MOUNTINFO_DEVICE);
    options->labels = g_strdup(words->labels->str);
    return TRUE;
}

SfsOptionsResult sfs_options_parse(SfsOptions *options, int argc, char **argv)
{
    g_auto(Words) words = {.labels = g_string_new(NULL)};
    struct fuse_args args = FUSE_ARGS_INIT(argc, argv);

    memset(options, 0, sizeof *options);
    int parsed = fuse_opt_parse(&args, &words, table, collect);
    fuse_opt_free_args(&args);
    if (parsed < 0)
        return SFS_OPTIONS_WRONG; /* fuse_opt has said why */
    if (words.help) {
        fputs(usage, stdout);
        return SFS_OPTIONS_DONE;
    }
    if (words.version) {
        printf("shieldfs %s\nFUSE library %s\n", SHIELDFS_VERSION, fuse_pkgversion());
        return SFS_OPTIONS_DONE;
    }
    return apply(options, &words) ? SFS_OPTIONS_RUN : SFS_OPTIONS_WRONG;
}

void sfs_options_clear(SfsOptions *options)
{
    g_clear_pointer(&options->sources, g_strfreev);
    g_clear_pointer(&options->mountpoint, g_free);
    g_clear_pointer(&options->fsname, g_free);
    g_clear_pointer(&options->labels, g_free);
}

char **sfs_options_mount_args(const SfsOptions *options, const char *mountpoint)
{
    gboolean fits = sfs_mountinfo_fit(options->fsname, mountpoint);
    g_autofree char *fsname = g_strconcat("fsname=", fits ? options->fsname : SFS_MOUNTINFO_DEVICE, NULL);
    g_autoptr(GString) list = g_string_new(NULL);
    char **args = g_new0(char *, 3);

    append_word(list, fsname);
    g_string_append(list, ",subtype=shieldfs,nosuid,nodev,noexec");
    if (options->allow_other)
        g_string_append(list, ",allow_other,default_permissions");
    if (*options->labels)
        g_string_append_printf(list, ",%s", options->labels);
    args[0] = g_strdup("-o");
    args[1] = g_string_free(g_steal_pointer(&list), FALSE);
    return args;
}
