/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of shieldstate.h, what other programs get: the readers on bundles as they are on disk, and on what
 * should not be there; errors that name the file. The path functions are in test-layout.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <unistd.h>

#include "shieldstate.h"
#include "unit.h"

#define LIMIT (16 * 1024 * 1024)

typedef ShieldList *(*Reader)(const char *state_dir, GError **error);

static const Reader readers[] = {shield_read_allowed_ips, shield_read_denied_ips, shield_read_effective_ips,
                                 shield_read_effective_domains};

static void assert_reads(Reader reader, const char *state_dir, const char *lines)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(ShieldList) list = reader(state_dir, &error);

    g_assert_no_error(error);
    unit_assert_list(list, lines);
}

/* The message is "STATE_DIR/" and what is given. */
static void assert_refused(Reader reader, const UnitDir *dir, int code, const char *message)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *expected = g_strconcat(dir->path, "/", message, NULL);
    g_autoptr(ShieldList) list = reader(dir->path, &error);

    g_assert_null(list);
    unit_assert_error(error, code, expected);

    g_autoptr(ShieldList) silent = reader(dir->path, NULL); /* nobody wants to know why */
    g_assert_null(silent);
}

static void assert_tier(const char *state_dir, const char *tier)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) got = shield_read_interactive_tier(state_dir, &error);

    g_assert_no_error(error);
    if (tier)
        g_assert_cmpmem(g_bytes_get_data(got, NULL), g_bytes_get_size(got), tier, strlen(tier));
    else
        g_assert_null(got);
}

static void test_version(void)
{
    g_assert_cmpint(SHIELD_BUNDLE_VERSION, ==, 4);
}

static void test_bundle(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();

    unit_write(dir, "profile.allowed", "2001:0db8:0000::53\n1.1.1.1\n8.8.8.8\n");
    unit_write(dir, "live.allowed", "8.8.8.8\n10.0.0.0/8\n");
    unit_write(dir, "deny.list", "8.8.8.8\n1.1.1.1/32\n2001:db8::53\n8.8.8.8\n");
    unit_write(dir, "profile.domains", "GitHub.com\nexample.org\n");
    unit_write(dir, "live.domains", "github.com\nexample.net\n");
    unit_write(dir, "denied.domains", "example.org\n");
    assert_reads(shield_read_allowed_ips, dir->path, "2001:0db8:0000::53\n1.1.1.1\n8.8.8.8\n10.0.0.0/8\n");
    assert_reads(shield_read_denied_ips, dir->path, "8.8.8.8\n1.1.1.1/32\n2001:db8::53\n");
    assert_reads(shield_read_effective_ips, dir->path, "2001:0db8:0000::53\n1.1.1.1\n10.0.0.0/8\n");
    assert_reads(shield_read_effective_domains, dir->path, "github.com\nexample.net\n");

    g_autofree char *roundabout = g_strconcat("/", dir->path, "/./", NULL);
    assert_reads(shield_read_denied_ips, roundabout, "8.8.8.8\n1.1.1.1/32\n2001:db8::53\n");
}

static void test_nothing_there(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    g_autofree char *nothing = unit_path(dir, "nothing");
    g_autofree char *file = unit_path(dir, "file");
    g_autofree char *below_file = unit_path(dir, "file/below");
    g_autofree char *loop = unit_path(dir, "loop");

    unit_write(dir, "file", "x\n");
    unit_link(dir, "loop", "loop");
    const char *const places[] = {dir->path, nothing, file, below_file, loop};
    for (gsize i = 0; i < G_N_ELEMENTS(places); i++) {
        for (gsize r = 0; r < G_N_ELEMENTS(readers); r++)
            assert_reads(readers[r], places[i], "");
        assert_tier(places[i], NULL);
    }
}

/* The state directory is the caller's own word, so it may be a link, or relative. */
static void test_state_dir(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    g_autofree char *link = unit_path(dir, "link");
    g_autofree char *before = g_get_current_dir();

    unit_mkdir(dir, "bundle");
    unit_write(dir, "bundle/deny.list", "a\n");
    unit_link(dir, "bundle", "link");
    assert_reads(shield_read_denied_ips, link, "a\n");
    g_assert_no_errno(chdir(dir->path));
    assert_reads(shield_read_denied_ips, "bundle/", "a\n");
    assert_reads(shield_read_denied_ips, "./link", "a\n");
    g_assert_no_errno(chdir("bundle"));
    assert_reads(shield_read_denied_ips, "", "a\n");
    assert_reads(shield_read_denied_ips, ".", "a\n");
    assert_reads(shield_read_denied_ips, "../bundle", "a\n");
    g_assert_no_errno(chdir(before));
}

static void test_not_files(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();

    unit_mkdir(dir, "profile.allowed");
    unit_write(dir, "profile.allowed/deny.list", "x\n");
    unit_fifo(dir, "live.allowed");
    unit_socket(dir, "deny.list");
    unit_fifo(dir, "profile.domains");
    unit_mkdir(dir, "interactive");
    alarm(60);
    for (gsize r = 0; r < G_N_ELEMENTS(readers); r++)
        assert_reads(readers[r], dir->path, "");
    assert_tier(dir->path, NULL);
    alarm(0);

    unit_remove(dir, "live.allowed");
    unit_write(dir, "live.allowed", "a\n");
    assert_reads(shield_read_effective_ips, dir->path, "a\n");
}

static void test_links(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();

    unit_write(dir, "elsewhere", "a\n");
    unit_link(dir, "elsewhere", "deny.list");
    unit_link(dir, "nothing", "profile.domains");
    unit_link(dir, "elsewhere", "interactive");
    assert_refused(shield_read_denied_ips, dir, ELOOP, "deny.list: symbolic link: not followed");
    assert_refused(shield_read_effective_ips, dir, ELOOP, "deny.list: symbolic link: not followed");
    assert_refused(shield_read_effective_domains, dir, ELOOP, "profile.domains: symbolic link: not followed");
    assert_reads(shield_read_allowed_ips, dir->path, "");

    g_autoptr(GError) error = NULL;
    g_assert_null(shield_read_interactive_tier(dir->path, &error));
    unit_assert_error(error, ELOOP, NULL);
}

static void test_not_utf8(void)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"\xff", "deny.list: line 1: not UTF-8 at byte 1"},
        {"a\nb\n\xff\n", "deny.list: line 3: not UTF-8 at byte 5"},
        {"a\r\nb\rc\xc3\x28", "deny.list: line 2: not UTF-8 at byte 7"}, /* CR alone counts no line */
        {"a\xe2\x80\xa8\xed\xa0\x80", "deny.list: line 1: not UTF-8 at byte 5"},
        {"a\n\xe2\x82", "deny.list: line 2: not UTF-8 at byte 3"},
        {"\n\n\n\xc0\xaf", "deny.list: line 4: not UTF-8 at byte 4"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(UnitDir) dir = unit_dir_new();

        unit_write(dir, "profile.allowed", "a\n");
        unit_write(dir, "deny.list", cases[i].text);
        assert_refused(shield_read_denied_ips, dir, EILSEQ, cases[i].message);
        assert_refused(shield_read_effective_ips, dir, EILSEQ, cases[i].message);
        assert_reads(shield_read_allowed_ips, dir->path, "a\n");
    }
}

/* Nothing in the name of a directory can forge a line of a log. */
static void test_messages_are_escaped(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    g_autoptr(GError) error = NULL;
    g_autofree char *path = unit_path(dir, "a\nb\x1b\xff");
    g_autofree char *expected =
        g_strconcat(dir->path, "/a\\x0ab\\x1b\\xff/deny.list: line 1: not UTF-8 at byte 1", NULL);

    unit_mkdir(dir, "a\nb\x1b\xff");
    unit_write(dir, "a\nb\x1b\xff/deny.list", "\x80");
    g_assert_null(shield_read_denied_ips(path, &error));
    unit_assert_error(error, EILSEQ, expected);
}

static void test_too_big(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    int fd = unit_open_for_writing(dir, "live.allowed");

    g_assert_no_errno(ftruncate(fd, LIMIT + 1));
    close(fd);
    assert_refused(shield_read_effective_ips, dir, EFBIG,
                   "live.allowed: longer than the limit of 16777216 bytes");
    assert_reads(shield_read_denied_ips, dir->path, "");
}

/* Takes a second, as it must. */
static void test_busy(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    g_autoptr(GError) error = NULL;
    g_autofree char *expected =
        g_strconcat(dir->path, "/deny.list: still being written after 1000 ms: try again", NULL);

    unit_write(dir, "profile.allowed", "a\n");
    int writer = unit_open_for_writing(dir, "deny.list");
    gint64 start = g_get_monotonic_time();
    g_autoptr(ShieldList) list = shield_read_effective_ips(dir->path, &error);
    gint64 took = g_get_monotonic_time() - start;

    g_assert_null(list);
    unit_assert_error(error, EBUSY, expected);
    g_assert_cmpint(took, >=, G_USEC_PER_SEC);
    g_assert_cmpint(took, <, 10 * G_USEC_PER_SEC);
    assert_reads(shield_read_allowed_ips, dir->path, "a\n");
    close(writer);
    assert_reads(shield_read_effective_ips, dir->path, "a\n");

    writer = unit_open_for_writing(dir, "interactive");
    g_autoptr(GError) tier_error = NULL;
    g_assert_null(shield_read_interactive_tier(dir->path, &tier_error));
    unit_assert_error(tier_error, EBUSY, NULL);
    close(writer);
}

static void test_unsearchable(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    const uid_t uid = geteuid();
    g_autofree char *below = unit_path(dir, "below");
    g_autofree char *message =
        g_strconcat(dir->path, "/below: permission denied: check its mode and owner", NULL);
    g_autoptr(GError) above = NULL, itself = NULL, tier = NULL;

    unit_mkdir(dir, "below");
    unit_write(dir, "deny.list", "a\n");
    g_assert_no_errno(chmod(dir->path, 0));
    if (uid == 0)
        g_assert_no_errno(seteuid(65534));
    ShieldList *lists[] = {shield_read_denied_ips(below, &above), shield_read_denied_ips(dir->path, &itself)};
    GBytes *tier_text = shield_read_interactive_tier(dir->path, &tier);
    g_assert_no_errno(seteuid(uid));
    g_assert_null(lists[0]);
    g_assert_null(lists[1]);
    g_assert_null(tier_text);
    unit_assert_error(above, EACCES, message);
    unit_assert_error(itself, EACCES, NULL);
    unit_assert_error(tier, EACCES, NULL);
    g_assert_no_errno(chmod(dir->path, 0755));
}

static void test_interactive_tier(void)
{
    static const struct {
        const char *text, *tier; /* NULL: none */
    } cases[] = {
        {"nflog\n", "nflog"},
        {"nflog", "nflog"},
        {" \t nflog \r\n\n", "nflog"},
        {"", NULL},
        {"\n", NULL},
        {" \t\r\n\xc2\xa0\xe3\x80\x80\x1f", NULL},
        {"a\r\nb\rc\nd\r\n", "a\nb\nc\nd"}, /* universal newlines, inner ones stay */
        {"a\x0b"
         "b\x0c\n",
         "a\x0b"
         "b"},
        {"a\r\r\nb", "a\n\nb"},
        {"\xef\xbb\xbf"
         "nflog\n",
         "\xef\xbb\xbf"
         "nflog"},
    };
    g_autoptr(UnitDir) dir = unit_dir_new();

    assert_tier(dir->path, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        unit_write(dir, "interactive", cases[i].text);
        assert_tier(dir->path, cases[i].tier);
    }

    unit_write_bytes(dir, "interactive", "\0a\0\n", 4);
    g_autoptr(GBytes) nuls = shield_read_interactive_tier(dir->path, NULL);
    g_assert_cmpmem(g_bytes_get_data(nuls, NULL), g_bytes_get_size(nuls), "\0a\0", 3);

    g_autoptr(GError) error = NULL;
    g_autofree char *expected = g_strconcat(dir->path, "/interactive: line 2: not UTF-8 at byte 3", NULL);
    unit_write(dir, "interactive", "a\n\xff");
    g_assert_null(shield_read_interactive_tier(dir->path, &error));
    unit_assert_error(error, EILSEQ, expected);
}

static void test_ensure_state_dirs(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    g_autoptr(GError) error = NULL;
    g_autofree char *path = unit_path(dir, "a//b/./c/");
    mode_t before = umask(027);

    for (int i = 0; i < 2; i++) { /* the second time all is there */
        g_assert_true(shield_ensure_state_dirs(path, &error));
        g_assert_no_error(error);
    }
    umask(before);
    static const char *const made[] = {"a", "a/b", "a/b/c", "a/b/c/hooks"};
    for (gsize i = 0; i < G_N_ELEMENTS(made); i++)
        g_assert_cmpint((int)unit_stat(dir, made[i]).st_mode, ==, S_IFDIR | 0750);

    /* What is in it stays. */
    unit_write(dir, "a/b/c/hooks/x", "");
    unit_write(dir, "a/b/c/deny.list", "a\n");
    g_assert_true(shield_ensure_state_dirs(path, &error));
    (void)unit_stat(dir, "a/b/c/hooks/x");
    assert_reads(shield_read_denied_ips, path, "a\n");
}

static void test_ensure_state_dirs_fails(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    static const char *const places[] = {"file", "file/below", "hooks-is-a-file"};

    unit_write(dir, "file", "");
    unit_mkdir(dir, "hooks-is-a-file");
    unit_write(dir, "hooks-is-a-file/hooks", "");
    for (gsize i = 0; i < G_N_ELEMENTS(places); i++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *path = unit_path(dir, places[i]);

        g_assert_false(shield_ensure_state_dirs(path, &error));
        g_assert_true(error && error->domain == SHIELD_ERROR);
        g_assert_true(g_str_has_prefix(error->message, path));
        g_assert_false(shield_ensure_state_dirs(path, NULL));
    }
    g_assert_true(S_ISREG(unit_stat(dir, "file").st_mode));
}

/* No state in the library: threads may do what they like. */
static void *read_again_and_again(void *data)
{
    const guint rounds = unit_rounds(100);

    for (guint i = 0; i < rounds; i++)
        assert_reads(shield_read_effective_ips, data, "a\n");
    return NULL;
}

static void test_threads(void)
{
    g_autoptr(UnitDir) dir = unit_dir_new();
    GThread *threads[4];

    unit_write(dir, "profile.allowed", "a\nb\n");
    unit_write(dir, "deny.list", "b\n");
    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("reader", read_again_and_again, dir->path);
    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        g_thread_join(threads[i]);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/contract/version", test_version);
    g_test_add_func("/contract/bundle", test_bundle);
    g_test_add_func("/contract/nothing-there", test_nothing_there);
    g_test_add_func("/contract/state-dir", test_state_dir);
    g_test_add_func("/contract/not-files", test_not_files);
    g_test_add_func("/contract/links", test_links);
    g_test_add_func("/contract/not-utf8", test_not_utf8);
    g_test_add_func("/contract/messages-are-escaped", test_messages_are_escaped);
    g_test_add_func("/contract/too-big", test_too_big);
    g_test_add_func("/contract/busy", test_busy);
    g_test_add_func("/contract/unsearchable", test_unsearchable);
    g_test_add_func("/contract/interactive-tier", test_interactive_tier);
    g_test_add_func("/contract/ensure-state-dirs", test_ensure_state_dirs);
    g_test_add_func("/contract/ensure-state-dirs-fails", test_ensure_state_dirs_fails);
    g_test_add_func("/contract/threads", test_threads);
    return g_test_run();
}
