/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of fs/options: words and values, sources and their defaults, what mount(8) and fstab add, and that
 * every mistake is one line on standard error.
 */
#include <fcntl.h>
#include <glib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "options.h"
#include "unit.h"

typedef struct {
    SfsOptions options;
    SfsOptionsResult result;
    char *out, *err;
} Parsed;

static void parsed_clear(Parsed *parsed)
{
    sfs_options_clear(&parsed->options);
    g_free(parsed->out);
    g_free(parsed->err);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Parsed, parsed_clear)

/* Puts a file in the place of a descriptor, and gives back what stood there. */
static int divert(int fd, int *file)
{
    int saved = dup(fd);

    *file = open(g_get_tmp_dir(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    g_assert_cmpint(*file, >=, 0);
    g_assert_cmpint(dup2(*file, fd), ==, fd);
    return saved;
}

static char *undo_divert(int fd, int saved, int file)
{
    char text[8192];
    ssize_t len = pread(file, text, sizeof text - 1, 0);

    g_assert_cmpint(len, >=, 0);
    g_assert_cmpint(dup2(saved, fd), ==, fd);
    close(saved);
    close(file);
    return g_strndup(text, (gsize)len);
}

/* Parses the words of a command line, separated by '|' and without the program's name. */
static Parsed parse(const char *words)
{
    g_autofree char *line = g_strconcat("shieldfs|", words, NULL);
    g_auto(GStrv) argv = g_strsplit(*words ? line : "shieldfs", "|", -1);
    Parsed parsed = {.result = -1};
    int out_file, err_file;

    fflush(stdout);
    int out = divert(STDOUT_FILENO, &out_file), err = divert(STDERR_FILENO, &err_file);
    parsed.result = sfs_options_parse(&parsed.options, (int)g_strv_length(argv), argv);
    fflush(stdout);
    fflush(stderr);
    parsed.err = undo_divert(STDERR_FILENO, err, err_file);
    parsed.out = undo_divert(STDOUT_FILENO, out, out_file);
    return parsed;
}

static Parsed parse_good(const char *words)
{
    Parsed parsed = parse(words);

    g_assert_cmpstr(parsed.err, ==, "");
    g_assert_cmpstr(parsed.out, ==, "");
    g_assert_cmpint(parsed.result, ==, SFS_OPTIONS_RUN);
    return parsed;
}

static void assert_sources(const Parsed *parsed, const char *expected)
{
    g_autofree char *got = g_strjoinv("|", parsed->options.sources);

    g_assert_cmpstr(got, ==, expected);
}

/* One line on standard error, with what is wrong in it, escaped. */
static void assert_wrong(const char *words, const char *named)
{
    g_auto(Parsed) parsed = parse(words);

    g_assert_cmpint(parsed.result, ==, SFS_OPTIONS_WRONG);
    g_assert_cmpstr(parsed.out, ==, "");
    g_assert_true(g_str_has_suffix(parsed.err, "\n"));
    g_assert_cmpint(strcspn(parsed.err, "\n"), ==, (int)strlen(parsed.err) - 1);
    g_assert_nonnull(strstr(parsed.err, named));
}

static void test_plain(void)
{
    g_auto(Parsed) parsed = parse_good("/state|/mnt");

    assert_sources(&parsed, "/state");
    g_assert_cmpstr(parsed.options.mountpoint, ==, "/mnt");
    g_assert_cmpstr(parsed.options.fsname, ==, "/state");
    g_assert_cmpuint(parsed.options.policy.max_size, ==, 16 * 1024 * 1024);
    g_assert_cmpuint(parsed.options.policy.settle_ms, ==, 1000);
    g_assert_cmpuint(parsed.options.cache, ==, 64 * 1024 * 1024);
    g_assert_false(parsed.options.foreground);
    g_assert_cmpint(parsed.options.log_level, ==, G_LOG_LEVEL_INFO);
    g_assert_false(parsed.options.single_threaded);
    g_assert_false(parsed.options.nonempty);
    g_assert_false(parsed.options.allow_other);
}

static void test_flags(void)
{
    g_auto(Parsed) all = parse_good("-f|-s|/s|/m|-o|nonempty,allow_other");
    g_assert_true(all.options.foreground);
    g_assert_true(all.options.single_threaded);
    g_assert_true(all.options.nonempty);
    g_assert_true(all.options.allow_other);
    g_assert_cmpint(all.options.log_level, ==, G_LOG_LEVEL_INFO);

    g_auto(Parsed) debug = parse_good("/s|/m|-d");
    g_assert_cmpint(debug.options.log_level, ==, G_LOG_LEVEL_DEBUG);
    g_assert_true(debug.options.foreground); /* debugging implies it */

    g_auto(Parsed) word = parse_good("-odebug|/s|/m");
    g_assert_cmpint(word.options.log_level, ==, G_LOG_LEVEL_DEBUG);
}

/* What mount(8), its helpers and fstab hand on means nothing here, and is no mistake. */
static const char *const silent_words[] = {
    "ro,rw,dev,nodev,suid,nosuid,exec,noexec,atime,noatime,diratime,nodiratime,relatime,norelatime",
    "strictatime,nostrictatime,lazytime,nolazytime,sync,async,dirsync,auto,noauto,user,user=someone,nouser",
    "users,owner,group,defaults,_netdev,nofail,comment=text,auto_unmount,default_permissions",
    "silent,loud,mand,nomand,iversion,noiversion,nosymfollow,symfollow,helper=x,uhelper=x",
    "private,rprivate,shared,rshared,slave,rslave,unbindable,runbindable",
    "x-systemd.automount,x-gvfs-show,x-systemd.requires=/,X-mount.mkdir,X-mount.mkdir=755",
    "",
    ",",
    "ro,,rw,",
};

static void test_silent_words(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(silent_words); i++) {
        g_autofree char *words = g_strconcat("/s|/m|-o|", silent_words[i], NULL);
        g_auto(Parsed) parsed = parse_good(words);
        g_auto(GStrv) args = sfs_options_mount_args(&parsed.options, "/m");

        assert_sources(&parsed, "/s");
        g_assert_cmpstr(args[1], ==, "fsname=/s,subtype=shieldfs,nosuid,nodev,noexec");
    }
}

/* What only looks like one of them, and what belongs to other filesystems. */
static void test_words_of_others(void)
{
    static const char *const words[] = {"silently",
                                        "ro=1",
                                        "user_id=1",
                                        "helper",
                                        "users=x",
                                        "x",
                                        "x_y",
                                        "attr_timeout=1",
                                        "use_ino",
                                        "umask=022",
                                        "kernel_cache",
                                        "uid=1000",
                                        "entry_timeout=1",
                                        "gid=1000",
                                        "max_read=5",
                                        "remount",
                                        "bind",
                                        "subtype=x",
                                        "ro rw",
                                        "bogus",
                                        "Ro",
                                        "fd=3",
                                        "rootmode=40000",
                                        "allow_root",
                                        "loop"};

    for (gsize i = 0; i < G_N_ELEMENTS(words); i++) {
        g_autofree char *line = g_strconcat("/s|/m|-o|nofail,", words[i], ",x-y", NULL);

        assert_wrong(line, words[i]);
    }
}

static void test_sources(void)
{
    static const struct {
        const char *given, *expected;
    } cases[] = {
        {"/a", "/a"},
        {"/a:/b:/c", "/a|/b|/c"},
        {"/a\\:b:/c", "/a:b|/c"},
        {"/a\\\\:/c", "/a\\|/c"},
        {"/a\\\\\\:c", "/a\\:c"},
        {"/a\\b:/c", "/a\\b|/c"},
        {"/a\\", "/a\\"},
        {"/a:/a", "/a"},
        {"/a:/b:/a//./", "/a|/b"}, /* duplicates are dropped however they are written */
        {"/none", "/none"},
        {"/a b", "/a b"},
        {"/a,b", "/a,b"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *words = g_strconcat(cases[i].given, "|/m", NULL);
        g_auto(Parsed) parsed = parse_good(words);

        assert_sources(&parsed, cases[i].expected);
    }
}

static void test_relative_source(void)
{
    g_autofree char *here = g_get_current_dir();
    g_autofree char *expected = g_build_filename(here, "rel", NULL);
    g_auto(Parsed) parsed = parse_good("rel|mnt");

    assert_sources(&parsed, expected);
    g_assert_cmpstr(parsed.options.mountpoint, ==, "mnt");
}

static const char *const variables[] = {"HOME", "XDG_STATE_HOME", "TEROK_SHIELD_STATE_DIR",
                                        "TEROK_SANDBOX_LIVE_DIR"};

static void test_default_sources(void)
{
    static const struct {
        const char *values[G_N_ELEMENTS(variables)]; /* in their order; NULL: unset */
        const char *expected;
    } cases[] = {
        {{"/h", NULL, NULL, NULL},
         "/h/.local/state/terok/shield|/h/.local/share/terok/sandbox-live|/h/.local/share/terok/core"},
        {{"/h", "/x", NULL, NULL},
         "/x/terok/shield|/h/.local/share/terok/sandbox-live|/h/.local/share/terok/core"},
        {{"/h", "/x", "/t", NULL}, "/t|/h/.local/share/terok/sandbox-live|/h/.local/share/terok/core"},
        {{"/h", "/x", "/t", "/l"}, "/t|/l|/h/.local/share/terok/core"},
        {{"/h", "", "", ""}, /* empty counts as unset */
         "/h/.local/state/terok/shield|/h/.local/share/terok/sandbox-live|/h/.local/share/terok/core"},
        {{"/h", NULL, "/same", "/same"}, "/same|/h/.local/share/terok/core"},
        {{"/h", NULL, "/h/.local/share/terok/core/", NULL},
         "/h/.local/share/terok/core|/h/.local/share/terok/sandbox-live"},
        {{"/h", NULL, "/a:b", NULL}, "/a:b|/h/.local/share/terok/sandbox-live|/h/.local/share/terok/core"},
    };
    g_auto(GStrv) before = g_get_environ();

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        for (gsize v = 0; v < G_N_ELEMENTS(variables); v++) {
            if (cases[i].values[v])
                g_setenv(variables[v], cases[i].values[v], TRUE);
            else
                g_unsetenv(variables[v]);
        }
        g_auto(Parsed) alone = parse_good("/m");
        g_auto(Parsed) none = parse_good("none|/m");
        assert_sources(&alone, cases[i].expected);
        assert_sources(&none, cases[i].expected);
        g_assert_cmpstr(alone.options.fsname, ==, "shieldfs");
        g_assert_cmpstr(none.options.fsname, ==, "none");
        g_assert_cmpstr(alone.options.mountpoint, ==, "/m");
        g_assert_cmpstr(none.options.mountpoint, ==, "/m");
    }
    for (gsize v = 0; v < G_N_ELEMENTS(variables); v++) {
        const char *value = g_environ_getenv(before, variables[v]);

        if (value)
            g_setenv(variables[v], value, TRUE);
        else
            g_unsetenv(variables[v]);
    }
}

static void test_values(void)
{
    static const struct {
        const char *words;
        gsize max_size;
        guint settle_ms;
    } cases[] = {
        {"settle=0", SHIELD_DEFAULT_MAX_SIZE, 0},
        {"settle=1", SHIELD_DEFAULT_MAX_SIZE, 1},
        {"settle=3600000", SHIELD_DEFAULT_MAX_SIZE, 3600000},
        {"settle=5,settle=6", SHIELD_DEFAULT_MAX_SIZE, 6},
        {"max_size=1", 1, SHIELD_DEFAULT_SETTLE_MS},
        {"max_size=1000", 1000, SHIELD_DEFAULT_SETTLE_MS},
        {"max_size=1K", 1024, SHIELD_DEFAULT_SETTLE_MS},
        {"max_size=1k", 1024, SHIELD_DEFAULT_SETTLE_MS},
        {"max_size=2M", 2 * 1024 * 1024, SHIELD_DEFAULT_SETTLE_MS},
        {"max_size=1G", 1024 * 1024 * 1024, SHIELD_DEFAULT_SETTLE_MS},
        {"max_size=1048576K", 1024 * 1024 * 1024, SHIELD_DEFAULT_SETTLE_MS},
        {"max_size=1073741824", 1024 * 1024 * 1024, SHIELD_DEFAULT_SETTLE_MS},
        {"settle=007", SHIELD_DEFAULT_MAX_SIZE, 7},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *words = g_strconcat("/s|/m|-o|", cases[i].words, NULL);
        g_auto(Parsed) parsed = parse_good(words);

        g_assert_cmpuint(parsed.options.policy.max_size, ==, cases[i].max_size);
        g_assert_cmpuint(parsed.options.policy.settle_ms, ==, cases[i].settle_ms);
    }
}

static void test_log_level(void)
{
    static const struct {
        const char *words;
        GLogLevelFlags level;
        gboolean foreground;
    } cases[] = {
        {"/s|/m|-ologlevel=error", G_LOG_LEVEL_WARNING, FALSE},
        {"/s|/m|-ologlevel=warning", G_LOG_LEVEL_MESSAGE, FALSE},
        {"/s|/m|-ologlevel=info", G_LOG_LEVEL_INFO, FALSE},
        {"/s|/m|-ologlevel=debug", G_LOG_LEVEL_DEBUG, FALSE},
        {"/s|/m|-d|-ologlevel=error", G_LOG_LEVEL_DEBUG, TRUE},
        {"/s|/m|-ologlevel=error|-ologlevel=info", G_LOG_LEVEL_INFO, FALSE},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_auto(Parsed) parsed = parse_good(cases[i].words);

        g_assert_cmpint(parsed.options.log_level, ==, cases[i].level);
        g_assert_cmpint(parsed.options.foreground, ==, cases[i].foreground);
    }
}

static void test_cache(void)
{
    g_auto(Parsed) small = parse_good("/s|/m|-o|cache=1");
    g_auto(Parsed) large = parse_good("/s|/m|-o|cache=3G");

    g_assert_cmpuint(small.options.cache, ==, 1);
    g_assert_cmpuint(large.options.cache, ==, (gsize)3 * 1024 * 1024 * 1024);
}

static void test_wrong_values(void)
{
    static const char *const values[] = {
        "settle=",
        "settle=-1",
        "settle=+1",
        "settle= 1",
        "settle=1s",
        "settle=1K",
        "settle=3600001",
        "settle=0x10",
        "settle=99999999999999999999",
        "max_size=",
        "max_size=0",
        "max_size=0K",
        "max_size=-1",
        "max_size=1KB",
        "max_size=1T",
        "max_size=1025M",
        "max_size=2G",
        "max_size=1073741825",
        "cache=",
        "cache=0",
        "cache=x",
        "cache=-1",
        "cache=1025G",
        "loglevel=",
        "loglevel=notice",
        "loglevel=Error",
        "loglevel=error ",
        "poll=",
        "poll=0",
        "poll=-1",
        "poll=1.5",
        "poll=3601",
        "max_size=18446744073709551616",
        "max_size=18446744073709551615G",
        "max_size=17592186044417M",
        "max_size=K",
        "max_size=1.5M",
    };

    for (gsize i = 0; i < G_N_ELEMENTS(values); i++) {
        g_autofree char *words = g_strconcat("/s|/m|-o|", values[i], NULL);

        assert_wrong(words, strchr(values[i], '=') + 1);
    }
}

static void test_wrong_words(void)
{
    assert_wrong("", "MOUNTPOINT");
    assert_wrong("-f", "MOUNTPOINT");
    assert_wrong("/s|", "MOUNTPOINT");
    assert_wrong("/s|/m|/more", "/more");
    assert_wrong("/s|/m|-o|nosuchword", "nosuchword");
    assert_wrong("/s|/m|-o|ro,nosuchword=5,rw", "nosuchword=5");
    assert_wrong("/s|/m|-x", "-x");
    assert_wrong("/s|/m|--long", "--long");
    assert_wrong("/s|/m|-o|settle", "settle");
    assert_wrong("/s|/m|-o|bad\nline\x1b[m", "bad\\x0aline\\x1b[m");
    assert_wrong(":/s|/m", "SOURCE");
    assert_wrong("/s:|/m", "SOURCE");
    assert_wrong("/s::/t|/m", "SOURCE");
    assert_wrong("|/m", "SOURCE");
    assert_wrong("/s|/m|-o|fsname=", "fsname=");
    assert_wrong("/s|/m|--|-o|ro", "-o");
    assert_wrong("--|/s|/m|-f", "-f");
    assert_wrong("/s|/m|-o", "-o");
}

static void test_help_and_version(void)
{
    static const char *const help[] = {"-h", "--help", "/s|/m|--help", "--help|-o|nosuchword"};
    static const char *const version[] = {"-V", "--version", "-V|/s|/m|/more"};

    for (gsize i = 0; i < G_N_ELEMENTS(help); i++) {
        g_auto(Parsed) parsed = parse(help[i]);

        g_assert_cmpint(parsed.result, ==, SFS_OPTIONS_DONE);
        g_assert_cmpstr(parsed.err, ==, "");
        g_assert_true(g_str_has_prefix(parsed.out, "Usage: shieldfs "));
        g_auto(GStrv) lines = g_strsplit(parsed.out, "\n", -1);
        for (char **line = lines; *line; line++)
            g_assert_cmpuint(strlen(*line), <=, 80);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(version); i++) {
        g_auto(Parsed) parsed = parse(version[i]);

        g_assert_cmpint(parsed.result, ==, SFS_OPTIONS_DONE);
        g_assert_cmpstr(parsed.err, ==, "");
        g_assert_true(g_str_has_prefix(parsed.out, "shieldfs "));
        g_assert_nonnull(strstr(parsed.out, "FUSE library 3."));
    }
}

static void assert_mount_args(const char *words, const char *expected)
{
    g_auto(Parsed) parsed = parse_good(words);
    g_auto(GStrv) args = sfs_options_mount_args(&parsed.options, "/m");

    g_assert_cmpuint(g_strv_length(args), ==, 2);
    g_assert_cmpstr(args[0], ==, "-o");
    g_assert_cmpstr(args[1], ==, expected);
}

static void test_mount_args(void)
{
    assert_mount_args("/s|/m", "fsname=/s,subtype=shieldfs,nosuid,nodev,noexec");
    assert_mount_args("/s|/m|-o|suid,dev,exec", "fsname=/s,subtype=shieldfs,nosuid,nodev,noexec");
    assert_mount_args("/s|/m|-o|allow_other",
                      "fsname=/s,subtype=shieldfs,nosuid,nodev,noexec,allow_other,default_permissions");
    assert_mount_args("/a:/b|/m", "fsname=/a:/b,subtype=shieldfs,nosuid,nodev,noexec");
    assert_mount_args("/a,allow_other\\\\b|/m",
                      "fsname=/a\\,allow_other\\\\\\\\b,subtype=shieldfs,nosuid,nodev,noexec");
    assert_mount_args("none|/m", "fsname=none,subtype=shieldfs,nosuid,nodev,noexec");
    assert_mount_args("/m", "fsname=shieldfs,subtype=shieldfs,nosuid,nodev,noexec");
    assert_mount_args("/s//./t/|/m", "fsname=/s//./t/,subtype=shieldfs,nosuid,nodev,noexec");
    assert_mount_args("s:../t:/u:/u|/m", "fsname=s:../t:/u:/u,subtype=shieldfs,nosuid,nodev,noexec");
    assert_mount_args("/s|/m|-o|fsname=my\\,name", "fsname=my\\,name,subtype=shieldfs,nosuid,nodev,noexec");
    assert_mount_args("/s|/m|-o|context=a:b:c,ro,rootcontext=d\\,e",
                      "fsname=/s,subtype=shieldfs,nosuid,nodev,noexec,context=a:b:c,rootcontext=d\\,e");
}

/* The longest source that is shown: its line of the mount table has 4095 bytes at most, 255 of which are
 * for what is in it besides source and mount point. */
static void test_long_sources(void)
{
    static const struct {
        char letter;
        gsize times, per_letter; /* as the table writes it */
    } cases[] = {{'a', 3837, 1}, {' ', 959, 4}, {'\\', 959, 4}, {'#', 959, 4}, {',', 3837, 1}};

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        for (gsize more = 0; more < 2; more++) {
            g_autofree char *name = g_strnfill(cases[i].times + more, cases[i].letter);
            g_autofree char *words = g_strconcat("/", name, "|/m", NULL);
            g_auto(Parsed) parsed = parse_good(words);
            g_auto(GStrv) args = sfs_options_mount_args(&parsed.options, "/m");

            g_assert_cmpint(strncmp(args[1], "fsname=shieldfs,", 16) == 0, ==, more);
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/options/plain", test_plain);
    g_test_add_func("/options/flags", test_flags);
    g_test_add_func("/options/silent-words", test_silent_words);
    g_test_add_func("/options/words-of-others", test_words_of_others);
    g_test_add_func("/options/sources", test_sources);
    g_test_add_func("/options/relative-source", test_relative_source);
    g_test_add_func("/options/default-sources", test_default_sources);
    g_test_add_func("/options/values", test_values);
    g_test_add_func("/options/cache", test_cache);
    g_test_add_func("/options/log-level", test_log_level);
    g_test_add_func("/options/wrong-values", test_wrong_values);
    g_test_add_func("/options/wrong-words", test_wrong_words);
    g_test_add_func("/options/help-and-version", test_help_and_version);
    g_test_add_func("/options/mount-args", test_mount_args);
    g_test_add_func("/options/long-sources", test_long_sources);
    return g_test_run();
}
