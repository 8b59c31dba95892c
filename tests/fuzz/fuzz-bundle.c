/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target for a whole bundle: a directory in which anything may stand under any name, and be something
 * else the next moment. What core computes of it is compared with what was put there; what it says of it is
 * fit to be printed. The input is a sequence of things, each put where the one before it of that name stood:
 * what, under which name, its content; everything is looked at in between and at the end.
 */
#include <errno.h>
#include <glib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bundle.h"
#include "contract.h"
#include "error.h"
#include "fuzz.h"
#include "inspect.h"
#include "lines.h"
#include "text.h"
#include "unit.h"

#define MAX_THINGS 12
#define MAX_SIZE 300 /* bytes of a list */

typedef enum { A_FILE, A_LINK, A_DIRECTORY, A_FIFO, NOTHING, LOOK, N_KINDS } Kind;

/* What stands under each list's name. */
typedef struct {
    Kind kind;
    GBytes *text; /* of a file */
} Thing;

typedef struct {
    UnitDir *dir;
    ShieldPolicy policy;
    ShieldBundle *bundle;
    Thing lists[SHIELD_N_LISTS];
} Case;

static void put(Case *c, Kind kind, const char *name, GBytes *content)
{
    gsize size;
    const char *bytes = g_bytes_get_data(content, &size);
    g_autofree char *target = g_strndup(bytes ? bytes : "", MIN(size, 200));
    ShieldFile file;

    unit_remove(c->dir, name);
    if (kind == A_FILE)
        unit_write_bytes(c->dir, name, bytes, size);
    else if (kind == A_LINK)
        unit_link(c->dir, *target ? target : "deny.list", name);
    else if (kind == A_DIRECTORY)
        unit_mkdir(c->dir, name);
    else if (kind == A_FIFO)
        unit_fifo(c->dir, name);
    if (shield_layout_find_name(name, &file) && file < SHIELD_N_LISTS) {
        g_clear_pointer(&c->lists[file].text, g_bytes_unref);
        c->lists[file] = (Thing){kind, kind == A_FILE ? g_bytes_ref(content) : NULL};
    }
}

/* The errno of a list that can't be used, or 0 and its entries. */
static int read_thing(const Thing *thing, ShieldTextKind kind, ShieldList **list)
{
    g_autoptr(GBytes) text = thing->kind == A_FILE ? g_bytes_ref(thing->text) : g_bytes_new(NULL, 0);
    gsize bad;

    if (thing->kind == A_LINK)
        return ELOOP;
    if (g_bytes_get_size(text) > MAX_SIZE)
        return EFBIG;
    if (!shield_text_validate(g_bytes_get_data(text, NULL), g_bytes_get_size(text), &bad))
        return EILSEQ;
    *list = kind == SHIELD_TEXT_DOMAINS ? shield_list_parse_domains(text) : shield_list_parse(text);
    return 0;
}

static void check_row(Case *c, const ShieldComputed *row)
{
    g_autoptr(ShieldSnapshot) got = shield_bundle_open(c->bundle, c->dir->fd, row);
    ShieldList *lists[SHIELD_COMPUTED_MAX_SOURCES] = {NULL};
    int failed = 0;

    for (guint i = 0; i < row->n_sources && failed == 0; i++)
        failed = read_thing(&c->lists[row->sources[i]], shield_layout_kind(row->sources[i]), &lists[i]);
    if (failed) {
        g_assert_nonnull(got->error);
        g_assert_cmpint(shield_error_errno(got->error), ==, failed);
    } else {
        g_assert_no_error(got->error);
        g_autoptr(ShieldList) list = row->compute(lists);
        g_autoptr(GBytes) text = shield_list_render(list);

        g_assert_true(g_bytes_equal(got->text, text));
    }
    for (guint i = 0; i < row->n_sources; i++)
        g_clear_pointer(&lists[i], shield_list_unref);
}

static void assert_printable(const GPtrArray *lines)
{
    g_assert_cmpuint(lines->len, <=, SHIELD_MAX_LINES + 1);
    for (guint i = 0; i < lines->len; i++) {
        const char *line = g_ptr_array_index(lines, i);

        g_assert_true(g_utf8_validate(line, -1, NULL));
        for (; *line; line = g_utf8_next_char(line))
            g_assert_true(g_unichar_isprint(g_utf8_get_char(line)));
    }
}

static void check(Case *c)
{
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) degraded = g_ptr_array_new_with_free_func(g_free);

    for (guint i = 0; i < shield_computed_n; i++)
        check_row(c, &shield_computed[i]);
    shield_inspect(c->bundle, c->dir->fd, problems, degraded);
    assert_printable(problems);
    assert_printable(degraded);
}

/* One that a list, a file of the contract, or anything may have. */
static char *take_name(FuzzInput *input)
{
    guint which = fuzz_byte(input);
    g_autofree char *own = NULL;

    if (which < SHIELD_N_FILES)
        return g_strdup(which == SHIELD_HOOK_JSON ? "hooks/terok-shield-poststop.json"
                                                  : shield_layout_name((ShieldFile)which));
    own = fuzz_word(input);
    if (strlen(own) > 100 || strchr(own, '/') || strcmp(own, ".") == 0 || strcmp(own, "..") == 0)
        *own = '\0';
    return g_strdup(*own ? own : "other");
}

static void take_thing(Case *c, FuzzInput *input)
{
    Kind kind = (Kind)(fuzz_byte(input) % N_KINDS);

    if (kind == LOOK) {
        check(c);
        return;
    }
    g_autofree char *name = take_name(input);
    gsize size = fuzz_byte(input);
    g_autoptr(GBytes) content = fuzz_bytes(input, size < 200 ? size : 200 + 4 * (size - 200));

    if (strchr(name, '/')) {
        struct stat st;
        g_autofree char *hooks = unit_path(c->dir, "hooks");

        if (lstat(hooks, &st) < 0 || !S_ISDIR(st.st_mode))
            return;
    }
    put(c, kind, name, content);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput input = {data, size};
    Case c = {.dir = unit_dir_new(), .policy = {.max_size = MAX_SIZE, .settle_ms = 0}};
    guint before;

    for (guint i = 0; i < SHIELD_N_LISTS; i++)
        c.lists[i].kind = NOTHING;
    c.policy.settle_ms = fuzz_byte(&input) & 1 ? 1000 : 0; /* with leases, and without */
    c.bundle = shield_bundle_new("c", &c.policy);
    before = fuzz_count_descriptors();
    for (guint i = 0; i < MAX_THINGS && input.size > 0; i++)
        take_thing(&c, &input);
    check(&c);
    g_assert_cmpuint(fuzz_count_descriptors(), ==, before);
    shield_bundle_unref(c.bundle);
    for (guint i = 0; i < SHIELD_N_LISTS; i++)
        g_clear_pointer(&c.lists[i].text, g_bytes_unref);
    unit_dir_free(c.dir);
    return 0;
}
