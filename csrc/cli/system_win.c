/* See system.h. */
#include "system.h"

#include <windows.h>

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
