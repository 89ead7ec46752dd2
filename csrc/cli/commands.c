/* See commands.h. */
#include "commands.h"

/* Options of the commands that talk to a broker. */
#define CLIENT (1U << EPB_KIND_CLIENT | 1U << EPB_KIND_SECRET)

const struct epb_cli_command EPB_CLI_COMMANDS[] = {
    {
        .name = "start",
        .usage = "start [FLAGS] [-- COMMAND]",
        .summary = "Run a command with a broker next to it, or a broker alone.",
        .examples = "epb start -- npx jest\n"
                    "epb start --max-items 500 --debug -- npm test\n"
                    "eval \"$(epb start --print-env &)\"; kill \"$EPHEMERAL_BROKER_PID\"",
        .note =
            "Starts a broker and becomes the command. Everything that the broker held is "
            "wiped when the command ends. The command and all that it starts find the "
            "broker by the environment: EPHEMERAL_PIPE, EPHEMERAL_SECRET and "
            "EPHEMERAL_BROKER_PID. Exit status: the command's own; 127: the command was "
            "not found; 126: it is not executable; 125: start itself failed.\n\n"
            "Without a command the broker runs until INT or TERM, and prints lines for a "
            "shell.",
        .group = EPB_GROUP_RUN,
        .runs_command = true,
        .command_optional = true,
        .kinds = 1U << EPB_KIND_BROKER | 1U << EPB_KIND_START | 1U << EPB_KIND_SECRET,
        .failure_status = EPB_EXIT_START_FAILED,
        .run = epb_cmd_start,
    },
#if !defined(_WIN32)
    {
        .name = "stop",
        .usage = "stop",
        .summary = "End the broker that start --detach made.",
        .examples = "eval \"$(epb start --detach)\"; npm test; epb stop",
        .group = EPB_GROUP_RUN,
        .kinds = CLIENT,
        .run = epb_run_stop,
    },
#endif
    {
        .name = "lock",
        .usage = "lock NAME [--shared] -- COMMAND",
        .summary = "Run a command while no other process holds the lock.",
        .group = EPB_GROUP_LEASES,
        .words_min = 1,
        .words_max = 1,
        .runs_command = true,
        .kinds = CLIENT,
        .flags = {EPB_OPTION_FLAG_SHARED, EPB_OPTION_FLAG_LOCK_WAIT,
                  EPB_OPTION_FLAG_LOCK_TTL, EPB_OPTION_FLAG_LOCK_GRACE,
                  EPB_OPTION_FLAG_WORKER},
        .run = epb_run_lock,
    },
#if !defined(_WIN32)
    {
        .name = "once",
        .usage = "once KEY --ttl TIME -- COMMAND",
        .summary = "Run a command once for all, and print what it printed.",
        .note =
            "The first process that asks runs the command, and what it prints becomes "
            "the value of KEY. All others wait and print the value. If the command "
            "fails, its status is that of all which wait; the next one to ask runs it "
            "again.",
        .examples = "TOKEN=$(epb once token --ttl 5m -- ./log-in.sh)",
        .group = EPB_GROUP_LEASES,
        .words_min = 1,
        .words_max = 1,
        .runs_command = true,
        .kinds = CLIENT,
        .flags = {EPB_OPTION_FLAG_TTL, EPB_OPTION_FLAG_WAIT_FOR, EPB_OPTION_FLAG_WORKER},
        .run = epb_run_once,
    },
    {
        .name = "ls",
        .usage = "ls",
        .summary = "List the brokers of this user that run.",
        .note =
            "epb --pid N COMMAND speaks to the broker of the run that process N is part "
            "of, for example: epb --pid N leases.",
        .group = EPB_GROUP_BROKER,
        .flags = {EPB_OPTION_FLAG_JSON},
        .run = epb_run_ls,
    },
#endif
    {
        .name = "get",
        .usage = "get KEY",
        .summary = "Print a value.",
        .examples = "epb get token\n"
                    "epb get config --json | jq .url",
        .group = EPB_GROUP_VALUES,
        .words_min = 1,
        .words_max = 1,
        .kinds = CLIENT,
        .run = epb_run_get,
    },
    {
        .name = "set",
        .usage = "set KEY VALUE|- --ttl TIME",
        .summary =
            "Store a value; - reads it from stdin, where other processes cannot see it.",
        .examples = "epb set greeting hello --ttl 5m\n"
                    "epb set config '{\"url\":\"http://localhost\"}' --json --ttl 1h\n"
                    "make-token | epb set token - --trim --ttl 30m",
        .group = EPB_GROUP_VALUES,
        .words_min = 2,
        .words_max = 2,
        .kinds = CLIENT,
        .flags = {EPB_OPTION_FLAG_TTL, EPB_OPTION_FLAG_IF_ABSENT, EPB_OPTION_FLAG_BINARY,
                  EPB_OPTION_FLAG_TRIM},
        .run = epb_run_set,
    },
    {
        .name = "del",
        .usage = "del KEY",
        .summary = "Delete a key; prints whether there was one.",
        .group = EPB_GROUP_VALUES,
        .words_min = 1,
        .words_max = 1,
        .kinds = CLIENT,
        .run = epb_run_del,
    },
    {
        .name = "has",
        .usage = "has KEY",
        .summary = "Print whether a key exists; exit status 1 when it does not.",
        .group = EPB_GROUP_VALUES,
        .words_min = 1,
        .words_max = 1,
        .kinds = CLIENT,
        .run = epb_run_has,
    },
    {
        .name = "ttl",
        .usage = "ttl KEY",
        .summary = "Print how long a value still lives.",
        .group = EPB_GROUP_VALUES,
        .words_min = 1,
        .words_max = 1,
        .kinds = CLIENT,
        .run = epb_run_ttl,
    },
    {
        .name = "touch",
        .usage = "touch KEY --ttl TIME",
        .summary = "Give a value another TTL; exit status 1 when there is no value.",
        .examples = "epb touch token --ttl 30m",
        .group = EPB_GROUP_VALUES,
        .words_min = 1,
        .words_max = 1,
        .kinds = CLIENT,
        .flags = {EPB_OPTION_FLAG_TTL},
        .run = epb_run_touch,
    },
    {
        .name = "incr",
        .usage = "incr KEY [BY] [--ttl TIME]",
        .summary = "Add to a counter and print it; the TTL is for a new one.",
        .examples = "epb incr visits --ttl 1h\n"
                    "epb incr visits 10",
        .group = EPB_GROUP_VALUES,
        .words_min = 1,
        .words_max = 2,
        .kinds = CLIENT,
        .flags = {EPB_OPTION_FLAG_TTL},
        .run = epb_run_incr,
    },
    {
        .name = "list",
        .usage = "list [PREFIX]",
        .summary = "List the keys (never the values) that begin with PREFIX.",
        .examples = "epb list\n"
                    "epb list user:",
        .group = EPB_GROUP_VALUES,
        .words_max = 1,
        .kinds = CLIENT,
        .run = epb_run_list,
    },
    {
        .name = "wait",
        .usage = "wait KEY [--wait TIME]",
        .summary = "Wait until KEY has a value, and print it.",
        .examples = "url=$(epb wait server-url --wait 30s)",
        .group = EPB_GROUP_VALUES,
        .words_min = 1,
        .words_max = 1,
        .kinds = CLIENT,
        .flags = {EPB_OPTION_FLAG_WAIT_FOR},
        .run = epb_run_wait,
    },
    {
        .name = "lease",
        .usage = "lease KEY [--wait TIME] [--pid N] | lease KEY ... -- COMMAND",
        .summary = "Lease an element, a permit or a number of KEY, and print it, or run "
                   "a command with it.",
        .examples =
            "account=$(epb lease accounts --worker \"$$\" --wait 1m)\n"
            "port=$((3000 + $(epb lease port --pid $$)))\n"
            "epb lease accounts --env USER=.user --env PASSWORD=.password -- npm test",
        .note =
            "What is leased depends on KEY: an element of a pool (epb pool), one of N "
            "permits (epb limit), a stored value, exclusively, or else the lowest free "
            "number from 0. The same worker that asks again gets the same, renewed. It "
            "belongs to the name of the worker until it is released or its time is over; "
            "with --pid, to a process until that ends.",
        .group = EPB_GROUP_LEASES,
        .words_min = 1,
        .words_max = EPB_CLI_MANY,
        .runs_command = true,
        .command_optional = true,
        .kinds = CLIENT,
        .flags = {EPB_OPTION_FLAG_WORKER, EPB_OPTION_FLAG_LEASE_TTL, EPB_OPTION_FLAG_WAIT,
                  EPB_OPTION_FLAG_LEASE_ENV, EPB_OPTION_FLAG_LEASE_PID,
                  EPB_OPTION_FLAG_LOCK_GRACE, EPB_OPTION_FLAG_JSON},
        .run = epb_run_lease,
    },
    {
        .name = "renew",
        .usage = "renew [KEY]",
        .summary = "Extend a worker's leases; exit status 1 when one was lost, or there "
                   "is none.",
        .examples = "epb renew --worker \"$$\" --ttl 5m",
        .group = EPB_GROUP_LEASES,
        .words_max = 1,
        .kinds = CLIENT,
        .flags = {EPB_OPTION_FLAG_WORKER, EPB_OPTION_FLAG_RENEW_TTL},
        .run = epb_run_renew,
    },
    {
        .name = "release",
        .usage = "release [KEY] [--force]",
        .summary =
            "Give back a worker's leases, or that of KEY; prints whether there was one.",
        .examples = "epb release --worker \"$$\"\n"
                    "epb release accounts --worker \"$$\" --discard\n"
                    "epb release --force --worker 7\n"
                    "epb release accounts --force",
        .group = EPB_GROUP_LEASES,
        .words_max = 1,
        .kinds = CLIENT,
        .flags = {EPB_OPTION_FLAG_WORKER, EPB_OPTION_FLAG_FORCE, EPB_OPTION_FLAG_DISCARD},
        .run = epb_run_release,
    },
    {
        .name = "leases",
        .usage = "leases [PREFIX]",
        .summary = "List who holds what and who waits, never values.",
        .examples = "epb leases\n"
                    "epb leases accounts --json",
        .group = EPB_GROUP_LEASES,
        .words_max = 1,
        .kinds = CLIENT,
        .run = epb_run_leases,
    },
    {
        .name = "pool",
        .usage = "pool KEY VALUE ...|-",
        .summary =
            "Define what can be leased of KEY; - reads one element a line from stdin.",
        .examples = "epb pool accounts ann bob cid\n"
                    "jq -c \".[]\" accounts.json | epb pool accounts - --json",
        .group = EPB_GROUP_LEASES,
        .words_min = 2,
        .words_max = EPB_CLI_MANY,
        .kinds = CLIENT,
        .flags = {EPB_OPTION_FLAG_ADD, EPB_OPTION_FLAG_REPLACE, EPB_OPTION_FLAG_KEEP},
        .run = epb_run_pool,
    },
    {
        .name = "limit",
        .usage = "limit KEY N",
        .summary = "Define that KEY can be leased N times at once.",
        .examples = "epb limit uploads 3",
        .group = EPB_GROUP_LEASES,
        .words_min = 2,
        .words_max = 2,
        .kinds = CLIENT,
        .flags = {EPB_OPTION_FLAG_REPLACE, EPB_OPTION_FLAG_KEEP},
        .run = epb_run_limit,
    },
    {
        .name = "describe",
        .usage = "describe KEY",
        .summary =
            "Print what KEY is, its size, what is free and how many wait, as JSON.",
        .group = EPB_GROUP_LEASES,
        .words_min = 1,
        .words_max = 1,
        .kinds = CLIENT,
        .run = epb_run_describe,
    },
    {
        .name = "clear",
        .usage = "clear [PREFIX]",
        .summary =
            "Delete values, pools, semaphores and rate limits; what is held stays.",
        .group = EPB_GROUP_LEASES,
        .words_max = 1,
        .kinds = CLIENT,
        .run = epb_run_clear,
    },
    {
        .name = "ping",
        .usage = "ping",
        .summary = "Ask whether the broker answers, and how fast.",
        .group = EPB_GROUP_BROKER,
        .kinds = CLIENT,
        .run = epb_run_ping,
    },
    {
        .name = "stats",
        .usage = "stats",
        .summary = "Print what the broker holds and has done.",
        .group = EPB_GROUP_BROKER,
        .kinds = CLIENT,
        .run = epb_run_stats,
    },
    {
        .name = "health",
        .usage = "health",
        .summary = "Print healthy, warning or degraded; exit status 1 unless healthy.",
        .group = EPB_GROUP_BROKER,
        .kinds = CLIENT,
        .run = epb_run_health,
    },
    {
        .name = "metrics",
        .usage = "metrics",
        .summary = "Print metrics for Prometheus.",
        .group = EPB_GROUP_BROKER,
        .kinds = CLIENT,
        .run = epb_run_metrics,
    },
    {
        .name = "pipe",
        .usage = "pipe",
        .summary = "Speak JSON lines on stdin and stdout, for programs in any language.",
        .note =
            "Each line is a request, as PROTOCOL.md describes it, and gets one line as "
            "its reply. The secret stays with epb. Leases without a TTL are renewed "
            "until they are released, or epb ends.",
        .examples = "echo '{\"action\":\"get\",\"key\":\"token\"}' | epb pipe",
        .group = EPB_GROUP_BROKER,
        .kinds = CLIENT,
        .run = epb_run_pipe,
    },
    {
        .name = "doctor",
        .usage = "doctor",
        .summary = "Say what keeps this process from its broker, and what to do.",
        .group = EPB_GROUP_BROKER,
        .kinds = CLIENT,
        .run = epb_run_doctor,
    },
    {
        .name = "explain",
        .usage = "explain [CODE]",
        .summary = "Print what an error code means, and what to do.",
        .group = EPB_GROUP_MORE,
        .words_max = 1,
        .run = epb_run_explain,
    },
    {
        .name = "help",
        .usage = "help [COMMAND]",
        .summary = "Print what a command does, and its flags.",
        .group = EPB_GROUP_MORE,
        .words_max = 1,
        .flags = {EPB_OPTION_FLAG_TABLES},
        .run = epb_cmd_help,
    },
    {
        .name = "version",
        .usage = "version",
        .summary = "Print the versions of the program and of everything inside.",
        .group = EPB_GROUP_MORE,
        .run = epb_cmd_version,
    },
    {
        .name = "binary",
        .usage = "binary",
        .summary = "Print the path of the native program, for scripts that want no Node.",
        .group = EPB_GROUP_MORE,
        .run = epb_cmd_binary,
    },
    {
        .name = "completion",
        .usage = "completion bash|zsh|fish",
        .summary = "Print completions for a shell, to be sourced.",
        .examples = "eval \"$(epb completion bash)\"   # in ~/.bashrc\n"
                    "source <(epb completion zsh)      # in ~/.zshrc\n"
                    "epb completion fish | source      # in ~/.config/fish/config.fish",
        .group = EPB_GROUP_MORE,
        .words_min = 1,
        .words_max = 1,
        .run = epb_cmd_completion,
    },
};
const size_t EPB_CLI_COMMAND_COUNT =
    sizeof(EPB_CLI_COMMANDS) / sizeof(EPB_CLI_COMMANDS[0]);
