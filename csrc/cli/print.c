/* See print.h. */
#include "print.h"

#include <inttypes.h>

#include "dialog.h"
#include "output.h"
#include "show.h"
#include "values.h"

int
epb_print_finish(struct epb_cli *cli, struct epb_buf *text, enum epb_status status)
{
    int result = EPB_EXIT_DONE;

    if (status == EPB_OK) {
        if (!epb_out_buf(text)) {
            epb_cli_complain("standard output can't be written");
            result = EPB_EXIT_REFUSED;
        }
    } else if (status == EPB_INVALID_VALUE) {
        epb_cli_complain("%s: What is stored is not JSON, or is damaged: another client "
                         "wrote it.",
                         cli->command->name);
        result = EPB_EXIT_REFUSED;
    } else if (status == EPB_VERSION_MISMATCH) {
        epb_cli_complain("%s: %s", cli->command->name, epb_status_message(status));
        result = EPB_EXIT_NO_BROKER;
    } else {
        result = epb_cli_no_memory(cli);
    }
    epb_buf_fini(text);
    return result;
}

int
epb_print_truth(struct epb_cli *cli, bool truth)
{
    struct epb_buf text;

    epb_buf_init(&text, 64);
    return epb_print_finish(cli, &text,
                            epb_buf_printf(&text, "%s\n", truth ? "true" : "false"));
}

int
epb_print_number(struct epb_cli *cli, int64_t number)
{
    struct epb_buf text;

    epb_buf_init(&text, 64);
    return epb_print_finish(cli, &text, epb_buf_printf(&text, "%" PRId64 "\n", number));
}

int
epb_print_value(struct epb_cli *cli, const struct epb_reply *reply)
{
    struct epb_buf text;

    epb_buf_init(&text, EPB_PRINT_MAX_BYTES);
    return epb_print_finish(cli, &text,
                            epb_value_show(&text, reply->body, reply->flags,
                                           epb_cli_flag(cli, EPB_OPTION_FLAG_JSON)));
}

int
epb_print_none(struct epb_cli *cli, const char *what)
{
    struct epb_bytes prefix = epb_dialog_word(cli, 0);
    struct epb_buf said;

    epb_buf_init(&said, 8192);
    struct epb_text text = epb_text_begin(&said);
    epb_text_put(&text, cli->command->name);
    epb_text_put(&text, ": no ");
    epb_text_put(&text, what);
    if (prefix.size_bytes > 0) {
        epb_text_put(&text, " of keys that begin with ");
        epb_show_name(&text, prefix);
    }
    if (epb_text_end(&text) == EPB_OK) {
        epb_cli_complain_buf(&said);
    }
    epb_buf_fini(&said);
    return EPB_EXIT_DONE;
}
