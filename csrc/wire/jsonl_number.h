/* Numbers of JSON lines, read from their text. The text must be a well-formed JSON value;
 * `bad` is the status for a wrong one. */
#ifndef EPB_WIRE_JSONL_NUMBER_H
#define EPB_WIRE_JSONL_NUMBER_H

#include "../base/status.h"
#include "json.h"

/* An integer that JavaScript holds exactly. EPB_INTERNAL when memory is out. */
EPB_MUST_USE enum epb_status
epb_jsonl_integer(const struct epb_json_span *span, enum epb_status bad,
                  int64_t *integer);
/* Milliseconds, at least 0; a fraction is rounded up. A number above EPB_NUMBER_MAX is
 * bad, or, with `clamp`, counts as EPB_NUMBER_MAX. EPB_INTERNAL when memory is out. */
EPB_MUST_USE enum epb_status
epb_jsonl_milliseconds(const struct epb_json_span *span, enum epb_status bad, bool clamp,
                       uint64_t *milliseconds);

#endif
