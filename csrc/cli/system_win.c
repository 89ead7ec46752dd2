/* See system.h. */
#include "system.h"

#include <string.h>

#include <windows.h>

#include <shellapi.h>

#include "../base/mem.h"
#include "../base/shared_mem.h"
#include "../os/wide_win.h"

enum epb_status
epb_system_program(char *path, size_t room_bytes)
{
    wchar_t wide[32768];
    DWORD size = GetModuleFileNameW(NULL, wide, sizeof(wide) / sizeof(wide[0]));

    if (size == 0) {
        return EPB_NOT_FOUND;
    }
    if (WideCharToMultiByte(CP_UTF8, 0, wide, -1, path, (int)room_bytes, NULL, NULL) ==
        0) {
        return EPB_TOO_LARGE;
    }
    return EPB_OK;
}

unsigned
epb_system_columns(void)
{
    CONSOLE_SCREEN_BUFFER_INFO screen;

    if (!GetConsoleScreenBufferInfo(GetStdHandle(STD_OUTPUT_HANDLE), &screen)) {
        return 0;
    }
    return (unsigned)(screen.srWindow.Right - screen.srWindow.Left + 1);
}

bool
epb_system_utc(time_t seconds, struct tm *parts)
{
    return gmtime_s(parts, &seconds) == 0;
}

char **
epb_system_arguments(char **argv)
{
    int count = 0;
    wchar_t **wide = CommandLineToArgvW(GetCommandLineW(), &count);
    char **texts =
        wide == NULL ? NULL : epb_mem_table_alloc(((size_t)count + 1) * sizeof(*texts));

    (void)argv;
    for (int i = 0; texts != NULL && i < count; i++) {
        texts[i] = epb_wide_to(wide[i]);
        texts = texts[i] == NULL ? NULL : texts;
    }
    if (texts != NULL) {
        texts[count] = NULL;
    }
    (void)LocalFree(wide);
    return texts;
}

/* The value, or NULL. */
static char *
read_variable(const char *name)
{
    wchar_t *wide_name = epb_wide_from(name);
    DWORD room = wide_name == NULL ? 0 : GetEnvironmentVariableW(wide_name, NULL, 0);
    wchar_t *value = room == 0 ? NULL : epb_mem_alloc(room * sizeof(*value));
    char *text = NULL;

    if (value != NULL && GetEnvironmentVariableW(wide_name, value, room) < room) {
        text = epb_wide_to(value);
    }
    epb_mem_free(value);
    epb_mem_free(wide_name);
    return text;
}

/* Variables that were asked for: their texts stay as long as the process. */
struct variable {
    struct variable *next;
    const char *name;
    char *value; /* NULL: not set */
};

static struct variable *variables;

const char *
epb_system_env(const char *name)
{
    struct variable *variable = variables;

    while (variable != NULL && strcmp(variable->name, name) != 0) {
        variable = variable->next;
    }
    if (variable == NULL) {
        variable = epb_mem_table_alloc(sizeof(*variable));
        if (variable == NULL) {
            return NULL;
        }
        *variable = (struct variable){variables, name, read_variable(name)};
        variables = variable;
    }
    return variable->value;
}

bool
epb_system_set_env(const char *name, const char *value)
{
    wchar_t *wide_name = epb_wide_from(name);
    wchar_t *wide_value = value == NULL ? NULL : epb_wide_from(value);
    bool done = wide_name != NULL && (value == NULL || wide_value != NULL) &&
                (SetEnvironmentVariableW(wide_name, wide_value) != 0 ||
                 (value == NULL && GetLastError() == ERROR_ENVVAR_NOT_FOUND));

    epb_mem_free(wide_value);
    epb_mem_free(wide_name);
    return done;
}

bool
epb_system_has_terminal(void)
{
    return GetConsoleWindow() != NULL;
}

uint32_t
epb_system_parent(void)
{
    return 0;
}
