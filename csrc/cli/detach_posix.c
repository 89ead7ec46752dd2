/* See detach.h. */
#include "detach.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../os/fd.h"
#include "output.h"
#include "run.h"
#include "standalone.h"

#define LINES_BYTES (256U * 1024U)

enum form {
    FORM_SH,
    FORM_GITHUB,
    FORM_DOTENV
};

static struct epb_bytes
bytes_of(const char *text)
{
    return (struct epb_bytes){(const uint8_t *)text, strlen(text)};
}

/* "NAME=value": GitHub's file takes the rest of a line as it is. */
static enum epb_status
put_plain(struct epb_buf *out, const char *name, struct epb_bytes value)
{
    enum epb_status status = epb_buf_printf(out, "%s=", name);

    status =
        status == EPB_OK ? epb_buf_append(out, value.data, value.size_bytes) : status;
    return status == EPB_OK ? epb_buf_append(out, "\n", 1) : status;
}

/* "NAME="value"", as the readers of .env files unescape it. */
static enum epb_status
put_dotenv(struct epb_buf *out, const char *name, struct epb_bytes value)
{
    enum epb_status status = epb_buf_printf(out, "%s=\"", name);

    EPB_ASSERT(value.data != NULL || value.size_bytes == 0);
    for (size_t i = 0; i < value.size_bytes && status == EPB_OK; i++) {
        if (memchr("\"\\$`", value.data[i], 4) != NULL) {
            status = epb_buf_append(out, "\\", 1);
        }
        status = status == EPB_OK ? epb_buf_append(out, &value.data[i], 1) : status;
    }
    return status == EPB_OK ? epb_buf_append(out, "\"\n", 2) : status;
}

static enum epb_status
put_variable(struct epb_buf *out, enum form form, const char *name,
             struct epb_bytes value)
{
    switch (form) {
    case FORM_GITHUB:
        return put_plain(out, name, value);
    case FORM_DOTENV:
        return put_dotenv(out, name, value);
    case FORM_SH:
        break;
    }
    return epb_standalone_export(out, name, value);
}

static enum epb_status
put_variables(struct epb_buf *out, enum form form, const struct epb_buf *path,
              const char *secret, uint32_t pid)
{
    struct epb_bytes pipe = {epb_buf_data(path), epb_buf_size(path)};
    char number[16];

    (void)snprintf(number, sizeof(number), "%" PRIu32, pid);
    enum epb_status status = put_variable(out, form, EPB_ENV_PIPE, pipe);
    if (status == EPB_OK && secret != NULL) {
        status = put_variable(out, form, EPB_ENV_SECRET, bytes_of(secret));
    }
    return status == EPB_OK
               ? put_variable(out, form, EPB_ENV_BROKER_PID, bytes_of(number))
               : status;
}

/* A job's later steps get the variables from a file, and its log masks the secret. */
static int
write_github(const struct epb_buf *lines, const char *secret)
{
    const char *file = epb_cli_env("GITHUB_ENV");
    int fd = open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0) {
        epb_cli_complain("start: GITHUB_ENV: the file can't be written: %s",
                         strerror(errno));
        return EPB_EXIT_START_FAILED;
    }
    bool written = secret == NULL || (epb_out_text("::add-mask::") &&
                                      epb_out_text(secret) && epb_out_text("\n"));
    written = written && epb_out_write(fd, epb_buf_data(lines), epb_buf_size(lines));
    epb_fd_close(fd);
    return written ? 0 : EPB_EXIT_START_FAILED;
}

static int
print_variables(struct epb_cli *cli, const struct epb_buf *path, const char *secret,
                uint32_t pid)
{
    enum form form = (enum form)epb_cli_number(cli, EPB_OPTION_START_ENV_FORM);
    struct epb_buf lines;
    int status = EPB_EXIT_START_FAILED;

    epb_buf_init(&lines, LINES_BYTES);
    if (put_variables(&lines, form, path, secret, pid) != EPB_OK) {
        status = epb_cli_no_memory(cli);
    } else if (form == FORM_GITHUB) {
        status = write_github(&lines, secret);
    } else if (epb_out_buf(&lines)) {
        status = 0;
    } else {
        epb_cli_complain("start: standard output can't be written");
    }
    epb_buf_fini(&lines);
    return status;
}

/* Before anything is started. */
static int
check_form(struct epb_cli *cli, const char *secret)
{
    uint64_t form = epb_cli_number(cli, EPB_OPTION_START_ENV_FORM);

    if (form == FORM_GITHUB && epb_cli_env("GITHUB_ENV") == NULL) {
        return epb_cli_wrong_use(
            cli, "--env github is for a step of GitHub Actions: GITHUB_ENV is not set");
    }
    if (form != FORM_SH && secret != NULL && strpbrk(secret, "\r\n") != NULL) {
        return epb_cli_wrong_use(cli,
                                 "the secret has a line break, which --env %s can't "
                                 "write",
                                 form == FORM_GITHUB ? "github" : "dotenv");
    }
    return 0;
}

int
epb_detach_run(struct epb_cli *cli, struct epb_broker_service *broker, const char *secret)
{
    struct epb_companion_spec spec = {
        .service = &broker->service, .ready_ms = EPB_READY_MS, .detached = true};
    struct epb_buf answer;
    uint32_t pid = 0;
    int status = check_form(cli, secret);

    if (status != 0) {
        return status;
    }
    if (!epb_cli_is_given(cli, EPB_OPTION_BROKER_IDLE_TIMEOUT)) {
        broker->options.idle_timeout_ms = EPB_DETACH_IDLE_MS;
    }
    epb_buf_init(&answer, EPB_COMPANION_ANSWER_MAX_BYTES);
    status = epb_companion_start(&spec, &answer, &pid);
    if (status == 0) {
        status = print_variables(cli, &answer, secret, pid);
    } else {
        epb_broker_service_complain(cli, &answer);
    }
    epb_buf_fini(&answer);
    return status;
}
