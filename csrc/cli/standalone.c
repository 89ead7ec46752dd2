/*
 * See standalone.h. The process prints what a shell needs, and then must get out of the
 * shell's way: `eval "$(epb start --print-env &)"` ends only when no process holds the
 * pipe behind `$(...)` open any more, so the output becomes /dev/null once the lines are
 * written.
 */
#include "standalone.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../base/shared_mem.h"
#include "../base/sys.h"
#include "output.h"
#include "run.h"
#include "system.h"

#define LINES_BYTES (256U * 1024U)

struct standalone {
    const struct epb_cli *cli;
    struct epb_broker_service *broker;
    uint8_t *secret; /* a copy, since the service wipes what it has read; NULL: none */
    size_t secret_bytes;
    bool prints_pid;
    bool is_ready; /* what fails later has been told */
};

static enum epb_status
append(struct epb_buf *out, const char *text)
{
    return epb_buf_append(out, text, strlen(text));
}

/* Within single quotes everything is literal but the quote itself. */
enum epb_status
epb_standalone_export(struct epb_buf *out, const char *name, struct epb_bytes value)
{
    enum epb_status status = epb_buf_printf(out, "export %s='", name);

    EPB_ASSERT(value.data != NULL || value.size_bytes == 0);
    for (size_t i = 0; i < value.size_bytes && status == EPB_OK; i++) {
        status = value.data[i] == '\'' ? append(out, "'\\''")
                                       : epb_buf_append(out, &value.data[i], 1);
    }
    return status == EPB_OK ? append(out, "'\n") : status;
}

static enum epb_status
put_lines(struct epb_buf *out, const struct standalone *standalone,
          const struct epb_buf *path)
{
    char number[16];
    struct epb_bytes pipe = {epb_buf_data(path), epb_buf_size(path)};
    struct epb_bytes secret = {standalone->secret, standalone->secret_bytes};
    enum epb_status status = epb_standalone_export(out, EPB_ENV_PIPE, pipe);

    if (status == EPB_OK && standalone->secret != NULL) {
        status = epb_standalone_export(out, EPB_ENV_SECRET, secret);
    }
    if (status != EPB_OK || !standalone->prints_pid) {
        return status;
    }
    int size = snprintf(number, sizeof(number), "%" PRIu32, epb_sys_pid());
    return epb_standalone_export(
        out, EPB_ENV_BROKER_PID,
        (struct epb_bytes){(const uint8_t *)number, (size_t)size});
}

/* The broker can be used without the lines, so a reader that has gone is no failure. A
 * full disk is one: the caller waits for the lines. */
static int
print_lines(const struct standalone *standalone, const struct epb_buf *path)
{
    struct epb_buf lines;
    bool written = false;

    epb_buf_init(&lines, LINES_BYTES);
    if (put_lines(&lines, standalone, path) != EPB_OK) {
        epb_buf_fini(&lines);
        return epb_cli_no_memory(standalone->cli);
    }
    written =
        epb_out_try(1, epb_buf_data(&lines), epb_buf_size(&lines)) || epb_out_is_closed();
    epb_buf_fini(&lines);
    if (!written) {
        epb_cli_complain("start: standard output can't be written");
        return EPB_EXIT_START_FAILED;
    }
    return 0;
}

static int
on_ready(void *context, const struct epb_buf *path)
{
    struct standalone *standalone = context;
    bool is_terminal = epb_out_is_terminal(1);
    int status = print_lines(standalone, path);

    standalone->is_ready = true;
    epb_mem_free(standalone->secret);
    standalone->secret = NULL;
    if (!is_terminal) {
        epb_out_discard(1);
    }
    if (standalone->prints_pid && !standalone->broker->options.debug) {
        epb_out_discard(2);
    }
    return status;
}

/* In "$( ... & )" we are left in the process group of an interactive shell, and a Ctrl-C
 * at its prompt is for something else. */
static bool
is_meant_by_keys(bool prints_pid)
{
    bool captured = prints_pid && !epb_out_is_terminal(1);

    return !(captured && epb_system_has_terminal());
}

int
epb_standalone_run(const struct epb_cli *cli, struct epb_broker_service *broker,
                   char *secret)
{
    struct standalone standalone = {
        .cli = cli,
        .broker = broker,
        .secret_bytes = secret == NULL ? 0 : strlen(secret),
        .prints_pid = epb_cli_flag(cli, EPB_OPTION_START_PRINT_ENV),
    };
    struct epb_companion_spec spec = {.service = &broker->service, .detached = true};
    struct epb_buf answer;

    if (secret != NULL) {
        standalone.secret = epb_mem_alloc(standalone.secret_bytes);
        if (standalone.secret == NULL) {
            return epb_cli_no_memory(cli);
        }
        memcpy(standalone.secret, secret, standalone.secret_bytes);
    }
    epb_buf_init(&answer, EPB_COMPANION_ANSWER_MAX_BYTES);
    int status = epb_companion_be(&spec, is_meant_by_keys(standalone.prints_pid), &answer,
                                  on_ready, &standalone);
    if (status != 0 && !standalone.is_ready) {
        epb_broker_service_complain(cli, &answer);
    }
    epb_buf_fini(&answer);
    epb_mem_free(standalone.secret);
    return status;
}
