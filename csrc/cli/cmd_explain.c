/* explain: what an error code means, its usual causes, and what to do. */
#include <string.h>

#include "../base/status.h"
#include "commands.h"
#include "print.h"

struct explanation {
    enum epb_status status;
    const char *text;
};

static const struct explanation EXPLANATIONS[] = {
#define EPB_EXPLANATION(NAME, text) {EPB_##NAME, text},
#include "explanations.def"
#undef EPB_EXPLANATION
};

#define COUNT (sizeof(EXPLANATIONS) / sizeof(EXPLANATIONS[0]))

static const struct explanation *
find(const char *code)
{
    for (size_t i = 0; i < COUNT; i++) {
        if (strcmp(epb_status_name(EXPLANATIONS[i].status), code) == 0) {
            return &EXPLANATIONS[i];
        }
    }
    return NULL;
}

static int
no_such_code(struct epb_cli *cli, const char *code)
{
    const char *names[COUNT];

    for (size_t i = 0; i < COUNT; i++) {
        names[i] = epb_status_name(EXPLANATIONS[i].status);
    }
    const char *near = epb_args_near(code, names, COUNT);
    return near == NULL
               ? epb_cli_wrong_use(cli, "no error has this code; epb explain lists all")
               : epb_cli_wrong_use(cli, "no error has this code; did you mean %s?", near);
}

static int
list_codes(struct epb_cli *cli)
{
    struct epb_buf out;
    enum epb_status status = EPB_OK;

    epb_buf_init(&out, (size_t)64 * 1024);
    for (size_t i = 0; i < COUNT && status == EPB_OK; i++) {
        status = epb_buf_printf(&out, "%s\n", epb_status_name(EXPLANATIONS[i].status));
    }
    return epb_print_finish(cli, &out, status);
}

int
epb_run_explain(struct epb_cli *cli)
{
    struct epb_buf out;

    if (cli->args.word_count == 0) {
        return list_codes(cli);
    }
    const struct explanation *found = find(cli->args.words[0]);
    if (found == NULL) {
        return no_such_code(cli, cli->args.words[0]);
    }
    epb_buf_init(&out, (size_t)64 * 1024);
    return epb_print_finish(
        cli, &out, epb_buf_printf(&out, "%s\n\n%s", cli->args.words[0], found->text));
}
