/* See help.h. */
#include "help.h"

#include <string.h>

#include "system.h"

#define COLUMNS_DEFAULT 80U
#define COLUMNS_MIN 40U
#define COLUMNS_MAX 120U
/* The widest first column; a longer text has a line of its own. */
#define COLUMN_MAX 30U
#define BOLD "\x1B[1m"

/* A writer that remembers its first error. */
struct page {
    struct epb_buf *out;
    struct epb_help_style style;
    enum epb_status status;
};

static void
put_bytes(struct page *page, const char *text, size_t size_bytes)
{
    if (page->status == EPB_OK) {
        page->status = epb_buf_append(page->out, text, size_bytes);
    }
}

static void
put(struct page *page, const char *text)
{
    put_bytes(page, text, strlen(text));
}

static void
put_styled(struct page *page, const char *code, const char *text, size_t size_bytes)
{
    if (page->style.ansi) {
        put(page, code);
    }
    put_bytes(page, text, size_bytes);
    if (page->style.ansi) {
        put(page, "\x1B[0m");
    }
}

static void
put_bold(struct page *page, const char *text)
{
    put_styled(page, BOLD, text, strlen(text));
}

static void
put_spaces(struct page *page, size_t count)
{
    while (count-- > 0) {
        put(page, " ");
    }
}

/* The bytes of the longest beginning of a paragraph that fits and ends at a word. */
static size_t
line_bytes(const char *text, size_t room)
{
    size_t size = strcspn(text, "\n");

    if (size <= room) {
        return size;
    }
    for (size = room + 1; size > 0; size--) {
        if (text[size - 1] == ' ') {
            return size - 1;
        }
    }
    return strcspn(text, " \n");
}

/* A paragraph, which ends with a line break or with the text. The first line begins at
 * the cursor, others at `column`. Returns the end. */
static const char *
put_wrapped(struct page *page, const char *text, size_t column)
{
    size_t room = page->style.columns > column + 20 ? page->style.columns - column : 20;

    for (;;) {
        size_t size = line_bytes(text, room);
        put_bytes(page, text, size);
        text += size;
        text += strspn(text, " ");
        put(page, "\n");
        if (*text == '\0' || *text == '\n') {
            return text;
        }
        put_spaces(page, column);
    }
}

/* "  NAME   what it does", wrapped in the second column. */
static void
put_row(struct page *page, const char *name, const char *text, size_t width)
{
    size_t column = 2 + width + 2;

    put(page, "  ");
    put_bold(page, name);
    if (strlen(name) > width) {
        put(page, "\n");
        put_spaces(page, column);
    } else {
        put_spaces(page, width - strlen(name) + 2);
    }
    (void)put_wrapped(page, text, column);
}

struct epb_help_style
epb_help_style(void)
{
    unsigned columns = epb_system_columns();
    const char *no_color = epb_cli_env("NO_COLOR");
    const char *terminal = epb_cli_env("TERM");
    struct epb_help_style style = {COLUMNS_DEFAULT, false};

    if (columns > 0) {
        style.columns = columns < COLUMNS_MIN   ? COLUMNS_MIN
                        : columns > COLUMNS_MAX ? COLUMNS_MAX
                                                : columns;
        style.ansi = (no_color == NULL || *no_color == '\0') &&
                     (terminal == NULL || strcmp(terminal, "dumb") != 0);
    }
    return style;
}

/* `epb` alone */

enum epb_status
epb_help_short(struct epb_buf *out, const struct epb_cli *cli,
               struct epb_help_style style)
{
    struct page page = {out, style, EPB_OK};

    (void)cli;
    put(&page, "Share tokens, accounts, counters and small state between processes: in\n"
               "memory only, gone when your command ends.\n\n");
    put_row(&page, "epb start -- npm test", "run a command with a broker", 32);
    put_row(&page, "epb set KEY VALUE --ttl 5m", "store a value", 32);
    put_row(&page, "epb get KEY", "print it", 32);
    put_row(&page, "epb lock NAME -- ./migrate.sh", "one at a time", 32);
    put_row(&page, "epb lease KEY --worker NAME", "take an account, a number, a turn",
            32);
    put_row(&page, "epb release --worker NAME", "give it back", 32);
    put(&page, "\n");
    put_row(&page, "epb help", "all commands", 32);
    put_row(&page, "epb help COMMAND", "one command, its flags, examples", 32);
    return page.status;
}

/* Overview */

static const char *const GROUP_TITLES[] = {
    [EPB_GROUP_RUN] = "Run something with a broker",
    [EPB_GROUP_VALUES] = "Values",
    [EPB_GROUP_LEASES] = "Accounts, numbers and turns",
    [EPB_GROUP_BROKER] = "The broker",
    [EPB_GROUP_MORE] = "More",
};

static void
put_group(struct page *page, const struct epb_cli *cli, enum epb_cli_group group)
{
    bool is_empty = true;

    for (size_t i = 0; i < cli->command_count; i++) {
        const struct epb_cli_command *command = &cli->commands[i];
        if (command->group != group) {
            continue;
        }
        if (is_empty) {
            put(page, "\n");
            put_bold(page, GROUP_TITLES[group]);
            put(page, ":\n");
            is_empty = false;
        }
        put_row(page, command->usage, command->summary, COLUMN_MAX - 2);
    }
}

enum epb_status
epb_help_overview(struct epb_buf *out, const struct epb_cli *cli,
                  struct epb_help_style style)
{
    struct page page = {out, style, EPB_OK};

    (void)put_wrapped(
        &page,
        "Share tokens, accounts, counters and small state between parallel processes: "
        "in memory only, over a private pipe, gone when your command ends.",
        0);
    put(&page, "\nUsage: " EPB_CLI_PROGRAM " COMMAND [flags]   (short: epb)\n");
    for (unsigned group = EPB_GROUP_RUN; group <= EPB_GROUP_MORE; group++) {
        put_group(&page, cli, (enum epb_cli_group)group);
    }
    put(&page, "\n");
    (void)put_wrapped(&page,
                      "All commands but start find the broker of the start around them "
                      "(EPHEMERAL_PIPE), or take --pipe PATH.",
                      0);
    return page.status;
}

/* One command */

/* Lines of a text with "\n": indented ones as they are, others as paragraphs. */
static void
put_lines(struct page *page, const char *text, const char *indent)
{
    while (*text != '\0') {
        size_t size = strcspn(text, "\n");
        put(page, indent);
        put_bytes(page, text, size);
        put(page, "\n");
        text += size + (text[size] == '\n');
    }
}

static void
put_paragraphs(struct page *page, const char *text)
{
    while (*text != '\0') {
        text = put_wrapped(page, text, 0);
        text += *text == '\n';
    }
}

static enum epb_status
put_notes(struct epb_buf *out, const struct epb_option *option)
{
    bool has_default = option->type != EPB_TYPE_BOOLEAN && !option->optional &&
                       option->type != EPB_TYPE_STRING;
    bool has_zero = option->zero_means != NULL && option->fallback != 0;
    const char *between = " [";
    enum epb_status status = EPB_OK;

    if (has_default) {
        status = epb_buf_printf(out, "%sdefault ", between);
        status = status == EPB_OK ? epb_option_show_fallback(out, option) : status;
        between = "; ";
    }
    if (has_zero && status == EPB_OK) {
        status = epb_buf_printf(out, "%s0: %s", between, option->zero_means);
        between = "; ";
    }
    if (option->env != NULL && status == EPB_OK) {
        status = epb_buf_printf(out, "%s%s", between, option->env);
        between = "; ";
    }
    if (between[0] == ';' && status == EPB_OK) {
        status = epb_buf_append(out, "]", 1);
    }
    return status;
}

static enum epb_status
put_text(struct epb_buf *out, const char *text)
{
    return epb_buf_append(out, text, strlen(text));
}

/* A NUL ends what was written so far; the text begins at the buffer's front. */
static const char *
text_of(struct page *page, struct epb_buf *buf, enum epb_status status)
{
    status = status == EPB_OK ? epb_buf_append(buf, "", 1) : status;
    if (status != EPB_OK) {
        page->status = page->status == EPB_OK ? status : page->status;
        return "";
    }
    return (const char *)epb_buf_data(buf);
}

static void
put_flag_row(struct page *page, const struct epb_option *option)
{
    struct epb_buf usage;
    struct epb_buf help;

    epb_buf_init(&usage, 256);
    epb_buf_init(&help, 2048);
    enum epb_status status =
        put_text(&help, option->flag_help != NULL ? option->flag_help : option->help);
    status = status == EPB_OK ? put_notes(&help, option) : status;
    const char *name = text_of(page, &usage, epb_option_usage(&usage, option));
    put_row(page, name, text_of(page, &help, status), COLUMN_MAX - 4);
    epb_buf_fini(&usage);
    epb_buf_fini(&help);
}

static const char *const KIND_TITLES[] = {
    [EPB_KIND_BROKER] = "The broker (each also by the environment variable named)",
    [EPB_KIND_CLIENT] = "The connection",
    [EPB_KIND_SECRET] = "The secret",
    [EPB_KIND_START] = "Flags of start",
    [EPB_KIND_FLAG] = "Flags",
};

static void
put_flags(struct page *page, const struct epb_cli_command *command,
          enum epb_option_kind kind)
{
    enum epb_option_id known[EPB_OPTION_COUNT];
    size_t count = epb_cli_known(command, known);
    bool is_empty = true;

    for (size_t i = 0; i < count; i++) {
        const struct epb_option *option = epb_option_row(known[i]);
        if (option->kind != kind) {
            continue;
        }
        if (is_empty) {
            put(page, "\n");
            put_bold(page, KIND_TITLES[kind]);
            put(page, ":\n");
            is_empty = false;
        }
        put_flag_row(page, option);
    }
}

static void
put_secret_note(struct page *page, const struct epb_cli_command *command)
{
    if ((command->kinds & (1U << EPB_KIND_SECRET)) == 0) {
        return;
    }
    bool is_broker = (command->kinds & (1U << EPB_KIND_BROKER)) != 0;
    (void)put_wrapped(page,
                      is_broker
                          ? "  Else from EPHEMERAL_SECRET or BROKER_SECRET, else random."
                          : "  Else from EPHEMERAL_SECRET or CLIENT_SECRET.",
                      2);
}

/* A line for each way to write the command: "lease KEY | lease KEY -- COMMAND". */
static void
put_usage(struct page *page, const char *usage)
{
    const char *before = "Usage: ";

    while (usage != NULL) {
        const char *next = strstr(usage, " | ");
        put(page, before);
        put(page, EPB_CLI_PROGRAM " ");
        put_styled(page, BOLD, usage,
                   next == NULL ? strlen(usage) : (size_t)(next - usage));
        put(page, "\n");
        before = "       ";
        usage = next == NULL ? NULL : next + 3;
    }
    put(page, "\n");
}

enum epb_status
epb_help_command(struct epb_buf *out, const struct epb_cli_command *command,
                 struct epb_help_style style)
{
    static const enum epb_option_kind ORDER[] = {
        EPB_KIND_FLAG, EPB_KIND_START, EPB_KIND_CLIENT, EPB_KIND_SECRET, EPB_KIND_BROKER};
    struct page page = {out, style, EPB_OK};

    put_usage(&page, command->usage);
    (void)put_wrapped(&page, command->summary, 0);
    if (command->examples != NULL) {
        put(&page, "\n");
        put_bold(&page, "Examples");
        put(&page, ":\n");
        put_lines(&page, command->examples, "  ");
    }
    if (command->note != NULL) {
        put(&page, "\n");
        put_paragraphs(&page, command->note);
    }
    for (size_t i = 0; i < sizeof(ORDER) / sizeof(ORDER[0]); i++) {
        put_flags(&page, command, ORDER[i]);
        if (ORDER[i] == EPB_KIND_SECRET) {
            put_secret_note(&page, command);
        }
    }
    if (command->kinds != 0 && !command->runs_command) {
        put(&page, "\n");
        (void)put_wrapped(
            &page,
            "Words after -- are never flags. Exit status: 0 done; 1 the broker "
            "refused (not_found, conflict, ...); 2 wrong use; 3 no broker, or one "
            "with another secret or version.",
            0);
    }
    return page.status;
}
