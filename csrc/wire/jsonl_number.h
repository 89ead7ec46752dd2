/* Numbers of JSON lines, from their text. The texts are well-formed JSON values; `bad` is
 * what a wrong one gets. */
#ifndef EPB_WIRE_JSONL_NUMBER_H
#define EPB_WIRE_JSONL_NUMBER_H

#include "../base/status.h"
#include "json.h"

/* An integer that JavaScript holds exactly. EPB_INTERNAL when memory is out. */
EPB_MUST_USE enum epb_status
epb_jsonl_integer(const struct epb_json_span *span, enum epb_status bad,
                  int64_t *integer);
/* Milliseconds from 0; a fraction counts as a whole one. What is beyond EPB_NUMBER_MAX is
 * bad, or, with `clamp`, counts as that. EPB_INTERNAL when memory is out. */
EPB_MUST_USE enum epb_status
epb_jsonl_milliseconds(const struct epb_json_span *span, enum epb_status bad, bool clamp,
                       uint64_t *milliseconds);

#endif
