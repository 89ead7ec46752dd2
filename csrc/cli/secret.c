/* See secret.h. */
#include "secret.h"

#include <string.h>

#include "../base/mem.h"
#include "secret_file.h"

#define SOURCES_MAX 8U
#define SOURCE_MAX_BYTES 160U

/* One place that gave a secret. */
struct source {
    char name[SOURCE_MAX_BYTES]; /* for messages */
    struct epb_buf secret;
};

struct finder {
    struct epb_cli *cli;
    struct source sources[SOURCES_MAX];
    size_t count;
};

static int
fail_memory(struct finder *finder)
{
    return epb_cli_no_memory(finder->cli);
}

/* The next place. Its name is cut when it is long. */
static struct source *
add_source(struct finder *finder, const char *flag, const char *argument)
{
    struct source *source = &finder->sources[finder->count++];
    size_t flag_bytes = strlen(flag);
    size_t argument_bytes = strlen(argument);
    size_t room = sizeof(source->name) - 1 - flag_bytes;

    EPB_ASSERT(flag_bytes < sizeof(source->name) / 2);
    argument_bytes = argument_bytes < room ? argument_bytes : room;
    memcpy(source->name, flag, flag_bytes);
    memcpy(source->name + flag_bytes, argument, argument_bytes);
    source->name[flag_bytes + argument_bytes] = '\0';
    epb_buf_init(&source->secret, EPB_SECRET_MAX_BYTES);
    return source;
}

static int
set_text(struct finder *finder, struct source *source, const char *text)
{
    size_t size = strlen(text);

    if (size > EPB_SECRET_MAX_BYTES) {
        return epb_cli_wrong_use(finder->cli, "%s: this is no secret, too long",
                                 source->name);
    }
    return epb_buf_append(&source->secret, text, size) == EPB_OK ? 0
                                                                 : fail_memory(finder);
}

/* Flags */

static int
from_stdin(struct finder *finder, const char *argument)
{
    if (strcmp(argument, "-") != 0) {
        return epb_cli_wrong_use(
            finder->cli,
            "--secret takes only \"-\", which reads the secret from the first line of "
            "standard input; other ways are --secret-file FILE and --secret-env NAME");
    }
    struct source *source = add_source(finder, "--secret -", "");
    return epb_secret_read_stdin(finder->cli, source->name, &source->secret);
}

static int
from_file(struct finder *finder, const char *path)
{
    struct source *source = add_source(finder, "--secret-file", "");

    return epb_secret_read_file(finder->cli, path, &source->secret);
}

static int
from_variable(struct finder *finder, const char *name)
{
    const char *text = epb_cli_env(name);

    if (text == NULL) {
        return epb_cli_wrong_use(
            finder->cli, "--secret-env \"%s\": there is no such environment variable",
            name);
    }
    return set_text(finder, add_source(finder, "--secret-env ", name), text);
}

/* Overwrites every text that was given to --auth, in the arguments of the process. */
static void
hide_auth(const struct epb_args *args)
{
    for (size_t i = 0; i < args->given_count; i++) {
        if (args->given[i].id == EPB_OPTION_SECRET_AUTH) {
            char *text = (char *)(uintptr_t)args->given[i].value.text;
            size_t size = strlen(text);
            epb_mem_wipe(text, size);
            memset(text, '*', size);
        }
    }
}

static int
from_argument(struct finder *finder, const char *text)
{
    int status = set_text(finder, add_source(finder, "--auth", ""), text);

    hide_auth(&finder->cli->args);
    epb_cli_complain("--auth: other processes can read a secret on the command line; "
                     "use --secret-file, --secret-env, --secret - or EPHEMERAL_SECRET");
    return status;
}

struct way {
    enum epb_option_id id;
    int (*read)(struct finder *finder, const char *argument);
};

/* The text of --auth comes first: it is visible until it is read. */
static const struct way WAYS[] = {
    {EPB_OPTION_SECRET_AUTH, from_argument},
    {EPB_OPTION_SECRET_STDIN, from_stdin},
    {EPB_OPTION_SECRET_FILE, from_file},
    {EPB_OPTION_SECRET_ENV, from_variable},
};

static int
from_flags(struct finder *finder)
{
    int status = 0;

    for (size_t i = 0; i < sizeof(WAYS) / sizeof(WAYS[0]) && status == 0; i++) {
        const char *argument = epb_cli_text(finder->cli, WAYS[i].id);
        if (argument != NULL) {
            status = WAYS[i].read(finder, argument);
        }
    }
    return status;
}

/* The environment */

/* A client's variables count for a broker too: the command inherits them, and must not
 * find two secrets. Inside another `start`, EPHEMERAL_SECRET is that broker's. */
static bool
counts(const char *name, enum epb_secret_side side)
{
    const char *outer = epb_cli_env("EPHEMERAL_PIPE");

    if (strcmp(name, "BROKER_SECRET") == 0) {
        return side == EPB_SECRET_OF_BROKER;
    }
    return side == EPB_SECRET_OF_CLIENT || strcmp(name, "EPHEMERAL_SECRET") != 0 ||
           outer == NULL || *outer == '\0';
}

static int
from_environment(struct finder *finder, enum epb_secret_side side)
{
    static const char *const names[] = {"EPHEMERAL_SECRET", "BROKER_SECRET",
                                        "CLIENT_SECRET"};
    int status = 0;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && status == 0; i++) {
        const char *text = epb_cli_env(names[i]);
        if (text != NULL && *text != '\0' && counts(names[i], side)) {
            status = set_text(finder, add_source(finder, names[i], ""), text);
        }
    }
    return status;
}

/* All sources */

static bool
are_same(const struct epb_buf *left, const struct epb_buf *right)
{
    return epb_buf_size(left) == epb_buf_size(right) &&
           epb_mem_equal(epb_buf_data(left), epb_buf_data(right), epb_buf_size(left));
}

static int
check(const struct finder *finder)
{
    const struct source *first = &finder->sources[0];

    for (size_t i = 0; i < finder->count; i++) {
        const struct source *source = &finder->sources[i];
        if (epb_buf_size(&source->secret) == 0) {
            return epb_cli_wrong_use(
                finder->cli, "%s: the secret is empty; leave it out to do without",
                source->name);
        }
        if (!are_same(&first->secret, &source->secret)) {
            return epb_cli_wrong_use(finder->cli,
                                     "%s and %s give different secrets: keep one",
                                     first->name, source->name);
        }
    }
    return 0;
}

static int
copy_first(struct finder *finder, struct epb_buf *secret)
{
    const struct epb_buf *first = &finder->sources[0].secret;

    if (finder->count == 0) {
        return 0;
    }
    return epb_buf_append(secret, epb_buf_data(first), epb_buf_size(first)) == EPB_OK
               ? 0
               : fail_memory(finder);
}

int
epb_secret_resolve(struct epb_cli *cli, enum epb_secret_side side, struct epb_buf *secret)
{
    struct finder finder = {.cli = cli};
    int status = from_flags(&finder);
    bool is_elsewhere = finder.count > 0 && side == EPB_SECRET_OF_CLIENT &&
                        epb_cli_is_given(cli, EPB_OPTION_FLAG_PIPE);

    if (status == 0 && !is_elsewhere) {
        status = from_environment(&finder, side);
    }
    status = status == 0 ? check(&finder) : status;
    status = status == 0 ? copy_first(&finder, secret) : status;
    for (size_t i = 0; i < finder.count; i++) {
        epb_buf_fini(&finder.sources[i].secret);
    }
    return status;
}
