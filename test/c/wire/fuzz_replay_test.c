/* Every input that the fuzzers keep (test/fuzz/corpus) and every one that once broke
 * something (test/fuzz/regressions) through its target, without a fuzzer. */
#include <criterion/criterion.h>
#include <dirent.h>

#include "../../fuzz/fuzz.h"

const char *fuzz_replayed;

/* The caller frees it. Its very size, so that a sanitizer sees a step too far. */
static uint8_t *
read_all(const char *path, size_t *size_bytes)
{
    FILE *file = fopen(path, "rb");

    cr_assert_not_null(file, "%s", path);
    cr_assert_eq(fseek(file, 0, SEEK_END), 0);
    long end = ftell(file);
    cr_assert_geq(end, 0);
    rewind(file);
    *size_bytes = (size_t)end;
    uint8_t *bytes = malloc(*size_bytes + (*size_bytes == 0));
    cr_assert_not_null(bytes);
    cr_assert_eq(fread(bytes, 1, *size_bytes, file), *size_bytes);
    fclose(file);
    return bytes;
}

/* How many files there were; a folder need not be there. */
static unsigned
replay(const char *kind, const char *name,
       void (*target)(const uint8_t *data, size_t size_bytes))
{
    char path[4096];
    unsigned count = 0;

    snprintf(path, sizeof(path), "%s/%s/%s", FUZZ_FOLDER, kind, name);
    DIR *folder = opendir(path);
    for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;) {
        size_t size_bytes;
        if (entry->d_name[0] == '.') {
            continue;
        }
        snprintf(path, sizeof(path), "%s/%s/%s/%s", FUZZ_FOLDER, kind, name,
                 entry->d_name);
        uint8_t *bytes = read_all(path, &size_bytes);
        fuzz_replayed = path;
        target(bytes, size_bytes);
        free(bytes);
        count++;
    }
    if (folder != NULL) {
        closedir(folder);
    }
    return count;
}

#define REPLAY(name)                                                            \
    Test(fuzz, name##_kept_and_broken_inputs)                                   \
    {                                                                           \
        cr_assert_gt(replay("corpus", #name, fuzz_##name), 0, "none is there"); \
        (void)replay("regressions", #name, fuzz_##name);                        \
    }
FUZZ_TARGET_LIST(REPLAY)
