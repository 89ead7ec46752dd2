/* ls: the brokers of this user that run. */
#include <string.h>

#include "../base/quote.h"
#include "commands.h"
#include "other.h"
#include "print.h"
#include "show.h"

#define COMMAND_SHOWN_BYTES 60U

struct list {
    struct epb_text text;
    bool json;
    bool any;
};

static void
put_command(struct epb_text *text, uint32_t pid, bool json)
{
    struct epb_buf words;

    epb_buf_init(&words, (size_t)4 * 1024 * 1024);
    bool known = pid != 0 && epb_other_arguments(pid, &words);
    struct epb_bytes shown = {epb_buf_data(&words), epb_buf_size(&words)};
    while (known && shown.data != NULL && shown.size_bytes > 0 &&
           shown.data[shown.size_bytes - 1] == ' ') {
        shown.size_bytes--;
    }
    if (!known) {
        epb_text_put(text, json ? "null" : "-");
    } else if (json) {
        epb_text_note(text, epb_quote(text->out, shown, SIZE_MAX));
    } else {
        if (shown.size_bytes > COMMAND_SHOWN_BYTES) {
            shown.size_bytes = COMMAND_SHOWN_BYTES;
        }
        epb_show_name(text, shown);
    }
    epb_buf_fini(&words);
}

static void
put_json(struct list *list, const char *path, uint32_t pid, const uint64_t *age_ms)
{
    struct epb_bytes pipe = {(const uint8_t *)path, strlen(path)};

    epb_text_put(&list->text, list->any ? ",{\"pipe\":" : "{\"pipe\":");
    epb_text_note(&list->text, epb_quote(list->text.out, pipe, SIZE_MAX));
    epb_text_put(&list->text, ",\"pid\":");
    epb_text_put_number(&list->text, pid);
    epb_text_put(&list->text, ",\"ageMs\":");
    if (age_ms == NULL) {
        epb_text_put(&list->text, "null");
    } else {
        epb_text_put_number(&list->text, *age_ms);
    }
    epb_text_put(&list->text, ",\"command\":");
    put_command(&list->text, pid, true);
    epb_text_put(&list->text, "}");
}

static void
put_cells(struct list *list, const char *path, uint32_t pid, const uint64_t *age_ms)
{
    epb_text_put_number(&list->text, pid);
    epb_grid_next(&list->text);
    if (age_ms == NULL) {
        epb_text_put(&list->text, "-");
    } else {
        epb_show_duration(&list->text, *age_ms);
    }
    epb_grid_next(&list->text);
    epb_show_name(&list->text, (struct epb_bytes){(const uint8_t *)path, strlen(path)});
    epb_grid_next(&list->text);
    put_command(&list->text, pid, false);
    epb_grid_next(&list->text);
}

static void
on_broker(void *context, const char *path, uint32_t pid)
{
    struct list *list = context;
    uint64_t age_ms = 0;
    bool is_known = epb_other_age_ms(pid, &age_ms);

    if (list->json) {
        put_json(list, path, pid, is_known ? &age_ms : NULL);
    } else {
        put_cells(list, path, pid, is_known ? &age_ms : NULL);
    }
    list->any = true;
}

static int
print_json(struct epb_cli *cli)
{
    struct epb_buf out;
    struct list list = {.json = true};

    epb_buf_init(&out, EPB_PRINT_MAX_BYTES);
    list.text = epb_text_begin(&out);
    epb_text_put(&list.text, "[");
    epb_other_brokers(on_broker, &list);
    epb_text_put(&list.text, "]\n");
    return epb_print_finish(cli, &out, epb_text_end(&list.text));
}

static int
print_table(struct epb_cli *cli)
{
    static const char head[] = "PID\0AGE\0PIPE\0COMMAND";
    struct epb_buf cells;
    struct epb_buf out;
    struct list list = {.json = false};

    epb_buf_init(&cells, EPB_PRINT_MAX_BYTES);
    epb_buf_init(&out, EPB_PRINT_MAX_BYTES);
    list.text = epb_text_begin(&cells);
    epb_text_put_bytes(&list.text,
                       (struct epb_bytes){(const uint8_t *)head, sizeof(head)});
    epb_other_brokers(on_broker, &list);
    enum epb_status status = epb_text_end(&list.text);
    if (status == EPB_OK && list.any) {
        struct epb_grid grid = {&cells, 4, 3};
        status = epb_grid_write(&out, &grid);
    }
    epb_buf_fini(&cells);
    if (!list.any) {
        epb_cli_complain("ls: no broker of this user runs");
    }
    return epb_print_finish(cli, &out, status);
}

int
epb_run_ls(struct epb_cli *cli)
{
    return epb_cli_flag(cli, EPB_OPTION_FLAG_JSON) ? print_json(cli) : print_table(cli);
}
