/* See jsonl_number.h. cJSON parses the digits, independently of the locale's decimal
 * point. */
#include "jsonl_number.h"

#include <cjson/cJSON.h>

#include "../base/once.h"
#include "../base/shared_mem.h"
#include "../core/msg.h"

/* cJSON's allocator is set once per process. */
static void
give_cjson_our_allocator(void)
{
    cJSON_Hooks hooks = {.malloc_fn = epb_mem_alloc, .free_fn = epb_mem_free};

    cJSON_InitHooks(&hooks);
}

static struct epb_once cjson_ready = EPB_ONCE_INIT;

/* cJSON reads this many characters of a number and would misread the rest. */
#define NUMBER_TEXT_MAX_BYTES 63U

/* `bad` when the value is not a number, or is absurdly long. */
static enum epb_status
read_number(const struct epb_json_span *span, enum epb_status bad, double *number)
{
    if (span->kind != EPB_JSON_NUMBER || span->text.size_bytes > NUMBER_TEXT_MAX_BYTES) {
        return bad;
    }
    epb_once(&cjson_ready, give_cjson_our_allocator);
    cJSON *item =
        cJSON_ParseWithLength((const char *)span->text.data, span->text.size_bytes);
    if (item == NULL) {
        return EPB_INTERNAL; /* it is well-formed, so memory is out */
    }
    *number = item->valuedouble;
    cJSON_Delete(item);
    return EPB_OK;
}

enum epb_status
epb_jsonl_integer(const struct epb_json_span *span, enum epb_status bad, int64_t *integer)
{
    double number = 0;
    enum epb_status status = read_number(span, bad, &number);

    if (status != EPB_OK) {
        return status;
    }
    if (!(number >= -(double)EPB_NUMBER_MAX && number <= (double)EPB_NUMBER_MAX)) {
        return bad;
    }
    *integer = (int64_t)number;
    return (double)*integer < number || (double)*integer > number ? bad : EPB_OK;
}

enum epb_status
epb_jsonl_milliseconds(const struct epb_json_span *span, enum epb_status bad, bool clamp,
                       uint64_t *milliseconds)
{
    double number = 0;
    enum epb_status status = read_number(span, bad, &number);

    if (status != EPB_OK) {
        return status;
    }
    if (!(number >= 0)) {
        return bad;
    }
    if (number > (double)EPB_NUMBER_MAX) {
        *milliseconds = EPB_NUMBER_MAX;
        return clamp ? EPB_OK : bad;
    }
    *milliseconds = (uint64_t)number;
    if ((double)*milliseconds < number) {
        (*milliseconds)++;
    }
    return EPB_OK;
}
