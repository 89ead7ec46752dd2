/* The program of one target, FUZZ_TARGET, for libFuzzer. */
#include "fuzz.h"

const char *fuzz_replayed = NULL;

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    FUZZ_TARGET(data, size_bytes);
    return 0;
}
