/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shield-state: the contract for scripts. Each command calls one function of libshieldstate and prints what
 * it gives. It must not know how a list is read or computed.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "config.h"
#include "contract.h"
#include "layout.h"
#include "shieldstate.h"
#include "standard.h"
#include "text.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

static const char usage[] =
    "Usage: shield-state COMMAND ...\n"
    "The state bundle contract of terok-shield, without a mount.\n"
    "\n"
    "  version                        print the bundle version\n"
    "  path STATE_DIR WHAT [STAGE]    print where WHAT lies (STAGE for hook_json only)\n"
    "  show STATE_DIR NAME            print effective, allowed, denied,\n"
    "                                 effective.domains, or the interactive tier\n"
    "  init STATE_DIR                 make the directories of a bundle\n"
    "\n"
    "  -h, --help                     print this\n"
    "  -V, --version                  print the program's version\n"
    "\n"
    "Exit status: 0, 1 if a file can't be used, 2 if the command line is wrong.\n";

static int wrong_usage(const char *what, const char *word)
{
    g_autofree char *escaped = word ? shield_text_escape(word, -1) : g_strdup("");

    fprintf(stderr, "shield-state: %s%s%s: see 'shield-state --help'\n", what, word ? ": " : "", escaped);
    return EXIT_USAGE;
}

static int failed(const GError *error)
{
    fprintf(stderr, "shield-state: %s\n", error->message);
    return EXIT_FAILED;
}

static int print_bytes(GBytes *bytes)
{
    gsize len;
    const char *data = g_bytes_get_data(bytes, &len);

    fwrite(data, 1, len, stdout);
    return EXIT_OK;
}

static int do_version(char **args)
{
    (void)args;
    printf("%d\n", SHIELD_BUNDLE_VERSION);
    return EXIT_OK;
}

static int do_path(char **args)
{
    ShieldFile file;

    if (!shield_layout_find(args[1], &file))
        return wrong_usage("unknown WHAT", args[1]);
    if ((file == SHIELD_HOOK_JSON) != (args[2] != NULL))
        return wrong_usage(args[2] ? "STAGE is for hook_json only" : "hook_json needs a STAGE", NULL);

    g_autofree char *path = shield_layout_path(args[0], file, args[2]);
    printf("%s\n", path);
    return EXIT_OK;
}

static int show_interactive(const char *state_dir)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) tier = shield_read_interactive_tier(state_dir, &error);

    if (error)
        return failed(error);
    if (tier) {
        print_bytes(tier);
        putchar('\n');
    }
    return EXIT_OK;
}

static int do_show(char **args)
{
    const ShieldComputed *row = shield_computed_find(args[1]);
    g_autoptr(GError) error = NULL;

    if (strcmp(args[1], "interactive") == 0)
        return show_interactive(args[0]);
    if (!row)
        return wrong_usage("unknown NAME", args[1]);

    g_autoptr(ShieldSnapshot) snapshot = shield_read_snapshot(args[0], row, &error);
    return snapshot ? print_bytes(snapshot->text) : failed(error);
}

static int do_init(char **args)
{
    g_autoptr(GError) error = NULL;

    return shield_ensure_state_dirs(args[0], &error) ? EXIT_OK : failed(error);
}

static int print_help(char **args)
{
    (void)args;
    fputs(usage, stdout);
    return EXIT_OK;
}

static int print_program_version(char **args)
{
    (void)args;
    puts("shield-state " SHIELDFS_VERSION);
    return EXIT_OK;
}

static const struct {
    const char *name;
    int min_args, max_args;
    int (*run)(char **args); /* NULL-terminated */
} commands[] = {
    {"version", 0, 0, do_version},
    {"path", 2, 3, do_path},
    {"show", 2, 2, do_show},
    {"init", 1, 1, do_init},
    {"-h", 0, 0, print_help},
    {"--help", 0, 0, print_help},
    {"-V", 0, 0, print_program_version},
    {"--version", 0, 0, print_program_version},
};

int main(int argc, char **argv)
{
    shield_standard_open();
    if (argc < 2)
        return wrong_usage("no command", NULL);

    for (gsize i = 0; i < G_N_ELEMENTS(commands); i++) {
        if (strcmp(commands[i].name, argv[1]) != 0)
            continue;
        if (argc - 2 < commands[i].min_args || argc - 2 > commands[i].max_args)
            return wrong_usage("wrong number of arguments", argv[1]);

        int status = commands[i].run(argv + 2);
        if (!shield_standard_flush()) {
            fprintf(stderr, "shield-state: standard output: %s\n", g_strerror(errno));
            return EXIT_FAILED;
        }
        return status;
    }
    return wrong_usage("unknown command", argv[1]);
}
