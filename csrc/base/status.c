/* See status.h. */
#include "status.h"

#include <stdio.h>
#include <stdlib.h>

struct row {
    const char *name;
    const char *message;
};

static const struct row rows[] = {
#define EPB_STATUS(number, name, wire, message) [number] = {wire, message},
#include "status.def"
#undef EPB_STATUS
};

static const struct row *
row_of(enum epb_status status)
{
    unsigned number = (unsigned)status;

    return &rows[epb_status_is_known(number) ? number : (unsigned)EPB_INTERNAL];
}

const char *
epb_status_name(enum epb_status status)
{
    return row_of(status)->name;
}

const char *
epb_status_message(enum epb_status status)
{
    return row_of(status)->message;
}

unsigned
epb_status_count(void)
{
    return (unsigned)(sizeof(rows) / sizeof(rows[0]));
}

bool
epb_status_is_known(unsigned number)
{
    return number < epb_status_count();
}

void
epb_assert_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, condition);
    abort();
}
