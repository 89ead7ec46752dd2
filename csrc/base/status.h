/* Status codes of every fallible function and of every reply, generated from
 * status.def. */
#ifndef EPB_BASE_STATUS_H
#define EPB_BASE_STATUS_H

#include <stdbool.h>
#include <stdint.h>

enum epb_status {
#define EPB_STATUS(number, name, wire, message) EPB_##name = (number),
#include "status.def"
#undef EPB_STATUS
};

#if defined(__GNUC__) || defined(__clang__)
#define EPB_MUST_USE __attribute__((warn_unused_result))
#define EPB_NORETURN __attribute__((noreturn))
#define EPB_NOINLINE __attribute__((noinline))
#define EPB_PRINTF(format_index, first_index) \
    __attribute__((format(printf, format_index, first_index)))
#else
#define EPB_MUST_USE
#define EPB_NORETURN
#define EPB_NOINLINE __declspec(noinline)
#define EPB_PRINTF(format_index, first_index)
#endif

/* The wire string ("not_found") and the message of a status. Static storage. An unknown
 * number gives those of EPB_INTERNAL. */
const char *
epb_status_name(enum epb_status status);
const char *
epb_status_message(enum epb_status status);

/* The number of rows, and whether a number read from the wire is one of them. Numbers are
 * dense from 0. */
unsigned
epb_status_count(void);
bool
epb_status_is_known(unsigned number);

/* Reports a programmer error: prints the place on stderr and aborts, in release builds
 * too. The condition must have no side effects. */
EPB_NORETURN void
epb_assert_failed(const char *condition, const char *file, int line);
#define EPB_ASSERT(condition) \
    ((condition) ? (void)0 : epb_assert_failed(#condition, __FILE__, __LINE__))

#endif
