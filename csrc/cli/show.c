/* See show.h. */
#include "show.h"

#include <stdio.h>
#include <string.h>

#include "../base/quote.h"
#include "../core/msg.h"

#define SECOND_MS 1000U
#define MINUTE_MS (60U * SECOND_MS)
#define HOUR_MS (60U * MINUTE_MS)
#define DAY_MS (24U * HOUR_MS)
#define KIB 1024U
#define KEY_SHOWN_BYTES 80U

/* Writes a number of tenths as "1.5". */
static void
put_tenths(struct epb_text *text, uint64_t tenths, bool whole_if_even)
{
    epb_text_put_number(text, tenths / 10);
    if (whole_if_even && tenths % 10 == 0) {
        return;
    }
    epb_text_put(text, ".");
    epb_text_put_number(text, tenths % 10);
}

static void
put_two(struct epb_text *text, uint64_t ms, uint64_t large_ms, const char *large,
        uint64_t small_ms, const char *small)
{
    epb_text_put_number(text, ms / large_ms);
    epb_text_put(text, large);
    epb_text_put_number(text, ms % large_ms / small_ms);
    epb_text_put(text, small);
}

void
epb_show_duration(struct epb_text *text, uint64_t ms)
{
    if (ms >= EPB_NUMBER_MAX) {
        epb_text_put(text, "forever");
    } else if (ms < SECOND_MS) {
        epb_text_put_number(text, ms);
        epb_text_put(text, " ms");
    } else if (ms < MINUTE_MS) {
        put_tenths(text, ms / 100, false);
        epb_text_put(text, " s");
    } else if (ms < HOUR_MS) {
        put_two(text, ms, MINUTE_MS, "m ", SECOND_MS, "s");
    } else if (ms < DAY_MS) {
        put_two(text, ms, HOUR_MS, "h ", MINUTE_MS, "m");
    } else {
        put_two(text, ms, DAY_MS, "d ", HOUR_MS, "h");
    }
}

void
epb_show_ms(struct epb_text *text, uint64_t ms)
{
    uint64_t unit_ms = 1;
    const char *name = " ms";

    if (ms >= 2 * HOUR_MS) {
        unit_ms = HOUR_MS;
        name = " h";
    } else if (ms >= 2 * MINUTE_MS) {
        unit_ms = MINUTE_MS;
        name = " min";
    } else if (ms >= SECOND_MS) {
        unit_ms = SECOND_MS;
        name = " s";
    }
    uint64_t whole = ms / unit_ms;
    uint64_t rest_ms = ms % unit_ms;
    put_tenths(text, whole * 10 + (rest_ms * 10 + unit_ms / 2) / unit_ms, true);
    epb_text_put(text, name);
}

void
epb_show_size(struct epb_text *text, uint64_t size_bytes)
{
    uint64_t unit = size_bytes < (uint64_t)KIB * KIB ? KIB : (uint64_t)KIB * KIB;

    if (size_bytes < KIB) {
        epb_text_put_number(text, size_bytes);
        epb_text_put(text, " B");
        return;
    }
    uint64_t whole = size_bytes / unit;
    uint64_t rest = size_bytes % unit;
    put_tenths(text, whole * 10 + (rest * 10 + unit / 2) / unit, false);
    epb_text_put(text, unit == KIB ? " KiB" : " MiB");
}

void
epb_show_grouped(struct epb_text *text, uint64_t number)
{
    char digits[24];
    int count = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)number);

    for (int i = 0; i < count; i++) {
        if (i > 0 && (count - i) % 3 == 0) {
            epb_text_put(text, ",");
        }
        epb_text_put_bytes(text, (struct epb_bytes){(const uint8_t *)digits + i, 1});
    }
}

void
epb_show_name(struct epb_text *text, struct epb_bytes name)
{
    if (!epb_quote_is_needed(name)) {
        epb_text_put_bytes(text, name);
    } else if (text->status == EPB_OK) {
        text->status = epb_quote(text->out, name, SIZE_MAX);
    }
}

void
epb_show_key(struct epb_text *text, struct epb_bytes key)
{
    if (text->status == EPB_OK) {
        text->status = epb_quote(text->out, key, KEY_SHOWN_BYTES);
    }
}

/* Tables */

void
epb_grid_next(struct epb_text *text)
{
    epb_text_put_bytes(text, (struct epb_bytes){(const uint8_t *)"", 1});
}

/* Characters, as far as they differ from bytes in UTF-8. */
static size_t
width_of(const char *cell)
{
    size_t width = 0;

    for (; *cell != '\0'; cell++) {
        width += ((uint8_t)*cell & 0xC0) != 0x80;
    }
    return width;
}

static void
put_spaces(struct epb_text *text, size_t count)
{
    for (; count > 0; count--) {
        epb_text_put(text, " ");
    }
}

static void
put_cell(struct epb_text *text, const char *cell, size_t width, bool is_right,
         bool is_last)
{
    size_t padding = width - width_of(cell);

    if (is_right) {
        put_spaces(text, padding);
    }
    epb_text_put(text, cell);
    if (is_last) {
        epb_text_put(text, "\n");
    } else {
        put_spaces(text, (is_right ? 0 : padding) + 2);
    }
}

enum epb_status
epb_grid_write(struct epb_buf *out, const struct epb_grid *grid)
{
    const char *first = (const char *)epb_buf_data(grid->cells);
    const char *end = first + epb_buf_size(grid->cells);
    size_t widths[EPB_GRID_COLUMNS_MAX] = {0};
    struct epb_text text = epb_text_begin(out);
    unsigned column = 0;

    EPB_ASSERT(grid->columns <= EPB_GRID_COLUMNS_MAX);
    for (const char *cell = first; cell < end; cell += strlen(cell) + 1) {
        size_t width = width_of(cell);
        if (width > widths[column]) {
            widths[column] = width;
        }
        column = (column + 1) % grid->columns;
    }
    for (const char *cell = first; cell < end; cell += strlen(cell) + 1) {
        put_cell(&text, cell, widths[column], (grid->right >> column & 1U) != 0,
                 column + 1 == grid->columns);
        column = (column + 1) % grid->columns;
    }
    return epb_text_end(&text);
}
