/* See completion.h. */
#include "completion.h"

#include <string.h>

#include "../wire/text.h"

#define PROGRAMS "epb ephemeral-pipe-broker ephemeral-broker brokerctl"

/* A writer for one shell. */
struct script {
    struct epb_text text;
    const struct epb_cli *cli;
};

const char *
epb_shell_name(enum epb_shell shell)
{
    static const char *const NAMES[] = {
        [EPB_SHELL_BASH] = "bash",
        [EPB_SHELL_ZSH] = "zsh",
        [EPB_SHELL_FISH] = "fish",
    };

    return NAMES[shell];
}

static void
put(struct script *script, const char *text)
{
    epb_text_put(&script->text, text);
}

static void
put_part(struct script *script, const char *text, size_t size_bytes)
{
    epb_text_put_bytes(&script->text,
                       (struct epb_bytes){(const uint8_t *)text, size_bytes});
}

/* A text inside single quotes, for a POSIX shell and for fish alike. The characters of
 * `escaped` get a backslash. */
static void
put_quoted(struct script *script, const char *text, const char *escaped)
{
    for (; *text != '\0'; text++) {
        if (*text == '\'') {
            put(script, "'\\''");
            continue;
        }
        if (strchr(escaped, *text) != NULL) {
            put(script, "\\");
        }
        put_part(script, text, 1);
    }
}

/* "none|lru" as "none lru". */
static void
put_values(struct script *script, const char *values)
{
    while (*values != '\0') {
        size_t size = strcspn(values, "|");
        put_part(script, values, size);
        values += size;
        if (*values == '|') {
            put(script, " ");
            values++;
        }
    }
}

static bool
is_path(const struct epb_option *option)
{
    return option->placeholder != NULL && (strcmp(option->placeholder, "FILE") == 0 ||
                                           strcmp(option->placeholder, "PATH") == 0);
}

static const char *
help_of(const struct epb_option *option)
{
    return option->flag_help != NULL ? option->flag_help : option->help;
}

/* The flag as help shows it, without its dashes and its argument: "no-require-ttl". */
static void
put_flag_name(struct script *script, const struct epb_option *option)
{
    if (option->type == EPB_TYPE_BOOLEAN && option->fallback == 1 && !option->negated) {
        put(script, "no-");
    }
    put(script, option->flag + 2);
}

typedef void (*put_option_fn)(struct script *script,
                              const struct epb_cli_command *command,
                              const struct epb_option *option);

static void
each_option(struct script *script, const struct epb_cli_command *command,
            put_option_fn put_option)
{
    enum epb_option_id known[EPB_OPTION_COUNT];
    size_t count = epb_cli_known(command, known);

    for (size_t i = 0; i < count; i++) {
        put_option(script, command, epb_option_row(known[i]));
    }
}

static void
put_command_names(struct script *script)
{
    for (size_t i = 0; i < script->cli->command_count; i++) {
        put(script, i == 0 ? "" : " ");
        put(script, script->cli->commands[i].name);
    }
}

/* The words that come first after a command, where the table knows them. */
static void
put_first_words(struct script *script, const struct epb_cli_command *command)
{
    if (strcmp(command->name, "help") == 0) {
        put_command_names(script);
    } else if (strcmp(command->name, "completion") == 0) {
        for (unsigned shell = 0; shell < EPB_SHELL_COUNT; shell++) {
            put(script, shell == 0 ? "" : " ");
            put(script, epb_shell_name((enum epb_shell)shell));
        }
    }
}

/* bash */

static void
put_bash_flag(struct script *script, const struct epb_cli_command *command,
              const struct epb_option *option)
{
    (void)command;
    put(script, " --");
    put_flag_name(script, option);
}

/* Whether an earlier row has the same flag. */
static bool
is_repeated(unsigned id)
{
    const char *flag = epb_option_row((enum epb_option_id)id)->flag;

    for (unsigned other = 0; other < id; other++) {
        const struct epb_option *option = epb_option_row((enum epb_option_id)other);
        if (option->flag != NULL && strcmp(option->flag, flag) == 0) {
            return true;
        }
    }
    return false;
}

/* What follows a flag; every flag once, whatever the command. */
static void
put_bash_values(struct script *script)
{
    for (unsigned id = 0; id < EPB_OPTION_COUNT; id++) {
        const struct epb_option *option = epb_option_row((enum epb_option_id)id);
        if (option->flag == NULL || option->type == EPB_TYPE_BOOLEAN || is_repeated(id)) {
            continue;
        }
        put(script, "    ");
        put(script, option->flag);
        if (option->type == EPB_TYPE_ENUM) {
            put(script, ") COMPREPLY=($(compgen -W '");
            put_values(script, option->values);
            put(script, "' -- \"$cur\")); return ;;\n");
        } else {
            put(script, is_path(option) ? ") _epb_files; return ;;\n" : ") return ;;\n");
        }
    }
}

static void
put_bash_commands(struct script *script)
{
    for (size_t i = 0; i < script->cli->command_count; i++) {
        const struct epb_cli_command *command = &script->cli->commands[i];
        put(script, "    ");
        put(script, command->name);
        put(script, ") flags='");
        each_option(script, command, put_bash_flag);
        put(script, "' words='");
        put_first_words(script, command);
        put(script, "' ;;\n");
    }
}

static void
write_bash(struct script *script)
{
    put(script,
        "# Completions of epb for bash: eval \"$(epb completion bash)\"\n"
        "_epb_files() {\n"
        "  compopt -o filenames 2>/dev/null\n"
        "  COMPREPLY=($(compgen -f -- \"$cur\"))\n"
        "}\n"
        "_epb_command() {\n"
        "  if declare -F _command_offset >/dev/null; then _command_offset \"$1\"\n"
        "  elif ((COMP_CWORD == $1)); then COMPREPLY=($(compgen -c -- \"$cur\"))\n"
        "  else _epb_files\n"
        "  fi\n"
        "}\n"
        "_epb() {\n"
        "  local cur=${COMP_WORDS[COMP_CWORD]} i flags= words=\n"
        "  COMPREPLY=()\n"
        "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
        "    if [[ ${COMP_WORDS[i]} == -- ]]; then _epb_command $((i + 1)); return; fi\n"
        "  done\n"
        "  if ((COMP_CWORD == 1)); then\n"
        "    COMPREPLY=($(compgen -W '");
    put_command_names(script);
    put(script, " --help --version' -- \"$cur\"))\n"
                "    return\n"
                "  fi\n"
                "  case ${COMP_WORDS[COMP_CWORD - 1]} in\n");
    put_bash_values(script);
    put(script, "  esac\n"
                "  case ${COMP_WORDS[1]} in\n");
    put_bash_commands(script);
    put(script, "  esac\n"
                "  if [[ $cur == -* ]]; then words=$flags; fi\n"
                "  COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
                "}\n"
                "complete -F _epb " PROGRAMS "\n");
}

/* zsh */

static void
put_zsh_flag(struct script *script, const struct epb_cli_command *command,
             const struct epb_option *option)
{
    (void)command;
    put(script, " \\\n        '");
    put(script, option->repeats ? "*--" : "--");
    put_flag_name(script, option);
    put(script, option->type == EPB_TYPE_BOOLEAN ? "[" : "=[");
    put_quoted(script, help_of(option), "[]\\");
    put(script, "]");
    if (option->type == EPB_TYPE_ENUM) {
        put(script, ":value:(");
        put_values(script, option->values);
        put(script, ")");
    } else if (option->type != EPB_TYPE_BOOLEAN) {
        put(script, is_path(option) ? ":file:_files" : ":value:");
    }
    put(script, "'");
}

static void
put_zsh_command(struct script *script, const struct epb_cli_command *command)
{
    put(script, "    ");
    put(script, command->name);
    put(script, ")\n      _arguments -S");
    each_option(script, command, put_zsh_flag);
    if (command->runs_command) {
        put(script, " \\\n        '*:::command:_normal'");
    }
    put(script, " \\\n        ':word:(");
    put_first_words(script, command);
    put(script, ")' ;;\n");
}

static void
write_zsh(struct script *script)
{
    put(script, "#compdef " PROGRAMS "\n"
                "# Completions of epb for zsh: source <(epb completion zsh)\n"
                "_epb() {\n"
                "  local -a commands\n"
                "  commands=(\n");
    for (size_t i = 0; i < script->cli->command_count; i++) {
        put(script, "    '");
        put(script, script->cli->commands[i].name);
        put(script, ":");
        put_quoted(script, script->cli->commands[i].summary, "\\");
        put(script, "'\n");
    }
    put(script, "  )\n"
                "  if ((CURRENT == 2)); then _describe command commands; return; fi\n"
                "  shift words\n"
                "  ((CURRENT--))\n"
                "  case $words[1] in\n");
    for (size_t i = 0; i < script->cli->command_count; i++) {
        put_zsh_command(script, &script->cli->commands[i]);
    }
    put(script, "  esac\n"
                "}\n"
                "if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _epb \"$@\"\n"
                "else compdef _epb " PROGRAMS "\n"
                "fi\n");
}

/* fish */

static void
put_fish_flag(struct script *script, const struct epb_cli_command *command,
              const struct epb_option *option)
{
    put(script, "complete -c epb -n '__epb_is ");
    put(script, command->name);
    put(script, "' -l ");
    put_flag_name(script, option);
    if (option->type == EPB_TYPE_ENUM) {
        put(script, " -x -a '");
        put_values(script, option->values);
        put(script, "'");
    } else if (option->type != EPB_TYPE_BOOLEAN) {
        put(script, is_path(option) ? " -r -F" : " -x");
    }
    put(script, " -d '");
    put_quoted(script, help_of(option), "\\");
    put(script, "'\n");
}

static void
put_fish_command(struct script *script, const struct epb_cli_command *command)
{
    put(script, "complete -c epb -n __fish_use_subcommand -a ");
    put(script, command->name);
    put(script, " -d '");
    put_quoted(script, command->summary, "\\");
    put(script, "'\ncomplete -c epb -n '__epb_is ");
    put(script, command->name);
    put(script, "' -a '");
    put_first_words(script, command);
    put(script, "'\n");
    each_option(script, command, put_fish_flag);
}

static void
write_fish(struct script *script)
{
    put(script, "# Completions of epb for fish: epb completion fish | source\n"
                "function __epb_is\n"
                "    set -l words (commandline -opc)\n"
                "    test (count $words) -gt 1; and test $words[2] = $argv[1]; and not "
                "contains -- -- "
                "$words\n"
                "end\n"
                "function __epb_runs\n"
                "    contains -- -- (commandline -opc)\n"
                "end\n"
                "complete -c epb -f\n"
                "complete -c epb -n __epb_runs -F -a '(__fish_complete_command)'\n");
    for (size_t i = 0; i < script->cli->command_count; i++) {
        put_fish_command(script, &script->cli->commands[i]);
    }
    put(script, "for name in ephemeral-pipe-broker ephemeral-broker brokerctl\n"
                "    complete -c $name -w epb\n"
                "end\n");
}

enum epb_status
epb_completion_write(struct epb_buf *out, const struct epb_cli *cli, enum epb_shell shell)
{
    static void (*const WRITERS[])(struct script * script) = {
        [EPB_SHELL_BASH] = write_bash,
        [EPB_SHELL_ZSH] = write_zsh,
        [EPB_SHELL_FISH] = write_fish,
    };
    struct script script = {epb_text_begin(out), cli};

    WRITERS[shell](&script);
    return epb_text_end(&script.text);
}
