/* See wide_win.h. */
#include "wide_win.h"

#include <stdint.h>
#include <uv.h>

#include "../base/shared_mem.h"

wchar_t *
epb_wide_from(const char *text)
{
    ssize_t units = uv_wtf8_length_as_utf16(text);
    wchar_t *wide = units < 0 ? NULL : epb_mem_alloc((size_t)units * sizeof(*wide));

    if (wide != NULL) {
        uv_wtf8_to_utf16(text, (uint16_t *)wide, (size_t)units);
    }
    return wide;
}

char *
epb_wide_to(const wchar_t *wide)
{
    const uint16_t *units = (const uint16_t *)wide;
    ssize_t count = (ssize_t)wcslen(wide);
    size_t room = uv_utf16_length_as_wtf8(units, count);
    char *text = epb_mem_alloc(room + 1);

    if (text != NULL && uv_utf16_to_wtf8(units, count, &text, &room) != 0) {
        epb_mem_free(text);
        return NULL;
    }
    return text;
}
