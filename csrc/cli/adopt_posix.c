/* See adopt.h. */
#include "adopt.h"

#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "other.h"

#define ENVIRONMENT_MAX_BYTES ((size_t)8 * 1024 * 1024)

/* Sets or removes a variable of ours. False: memory is out. */
static bool
adopt_variable(const struct epb_buf *environment, const char *name)
{
    const char *at = (const char *)epb_buf_data(environment);
    const char *end = at + epb_buf_size(environment);
    size_t name_bytes = strlen(name);

    for (; at < end; at += strlen(at) + 1) {
        if (strncmp(at, name, name_bytes) == 0 && at[name_bytes] == '=') {
            return setenv(name, at + name_bytes + 1, 1) == 0;
        }
    }
    return unsetenv(name) == 0;
}

static int
refuse(const char *pid, enum epb_status status)
{
    if (status == EPB_NOT_FOUND) {
        epb_cli_complain("--pid %.20s: there is no such process", pid);
    } else if (status == EPB_AUTH_REQUIRED) {
        epb_cli_complain("--pid %.20s: this system does not show its environment to you; "
                         "pass --pipe PATH and --secret-file FILE",
                         pid);
    } else {
        epb_cli_complain("--pid %.20s: its environment can't be read; pass --pipe PATH "
                         "and --secret-file FILE",
                         pid);
    }
    return EPB_EXIT_NO_BROKER;
}

static int
adopt_all(const char *pid, const struct epb_buf *environment)
{
    if (!adopt_variable(environment, "EPHEMERAL_PIPE") ||
        !adopt_variable(environment, "EPHEMERAL_SECRET")) {
        epb_cli_complain("memory is out");
        return EPB_EXIT_REFUSED;
    }
    if (getenv("EPHEMERAL_PIPE") == NULL) {
        epb_cli_complain("--pid %.20s: this process is not part of a run with a broker; "
                         "epb ls lists the brokers",
                         pid);
        return EPB_EXIT_NO_BROKER;
    }
    return 0;
}

int
epb_adopt(const char *pid)
{
    struct epb_buf environment;
    char *end = NULL;
    unsigned long number = pid == NULL ? 0 : strtoul(pid, &end, 10);

    if (number == 0 || number > INT32_MAX || *end != '\0' || *pid == '-') {
        epb_cli_complain("--pid takes the number of a process");
        return EPB_EXIT_WRONG_USE;
    }
    epb_buf_init(&environment, ENVIRONMENT_MAX_BYTES);
    enum epb_status status = epb_other_environment((uint32_t)number, &environment);
    if (status == EPB_OK) {
        status = epb_buf_append(&environment, "", 1);
    }
    int result = status == EPB_OK ? adopt_all(pid, &environment) : refuse(pid, status);
    epb_buf_fini(&environment);
    return result;
}
