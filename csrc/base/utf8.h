/* Well-formedness of UTF-8 (Unicode 15, table 3-7): no overlong forms, no surrogates. */
#ifndef EPB_BASE_UTF8_H
#define EPB_BASE_UTF8_H

#include <stdbool.h>

#include "bytes.h"

bool
epb_utf8_valid(struct epb_bytes text);

#endif
