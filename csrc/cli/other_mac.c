/* See other.h. The system shows arguments and environment together (KERN_PROCARGS2): a
 * count, the path of the program, NULs, the arguments, and the environment. */
#include <string.h>
#include <sys/sysctl.h>
#include <sys/time.h>

#include "other.h"

#define AREA_MAX_BYTES ((size_t)2 * 1024 * 1024)

static enum epb_status
read_area(uint32_t pid, struct epb_buf *out)
{
    int name[] = {CTL_KERN, KERN_PROCARGS2, (int)pid};
    size_t size_bytes = 0;
    uint8_t *memory = NULL;

    if (sysctl(name, 3, NULL, &size_bytes, NULL, 0) != 0) {
        return EPB_NOT_FOUND;
    }
    if (size_bytes > AREA_MAX_BYTES) {
        return EPB_TOO_LARGE;
    }
    enum epb_status status = epb_buf_reserve(out, size_bytes, &memory);
    if (status == EPB_OK && sysctl(name, 3, memory, &size_bytes, NULL, 0) != 0) {
        status = EPB_AUTH_REQUIRED;
    }
    if (status == EPB_OK) {
        epb_buf_commit(out, size_bytes);
    }
    return status;
}

/* The bytes of a text at `at`, with its NUL. */
static size_t
text_bytes(struct epb_bytes area, size_t at)
{
    size_t size = 0;

    while (at + size < area.size_bytes && area.data[at + size] != '\0') {
        size++;
    }
    return at + size < area.size_bytes ? size + 1 : size;
}

/* Where the arguments begin, and how many there are. */
static size_t
find_arguments(struct epb_bytes area, int *count)
{
    size_t at = sizeof(*count);

    *count = 0;
    if (area.size_bytes < at) {
        return area.size_bytes;
    }
    memcpy(count, area.data, at);
    at += text_bytes(area, at);
    while (at < area.size_bytes && area.data[at] == '\0') {
        at++;
    }
    return at;
}

enum epb_status
epb_other_environment(uint32_t pid, struct epb_buf *out)
{
    struct epb_buf area;
    int count = 0;

    epb_buf_init(&area, AREA_MAX_BYTES);
    enum epb_status status = read_area(pid, &area);
    if (status == EPB_OK) {
        struct epb_bytes bytes = {epb_buf_data(&area), epb_buf_size(&area)};
        size_t at = find_arguments(bytes, &count);
        for (; count > 0 && at < bytes.size_bytes; count--) {
            at += text_bytes(bytes, at);
        }
        status = epb_buf_append(out, bytes.data + at, bytes.size_bytes - at);
    }
    epb_buf_fini(&area);
    return status;
}

bool
epb_other_arguments(uint32_t pid, struct epb_buf *out)
{
    struct epb_buf area;
    int count = 0;

    epb_buf_init(&area, AREA_MAX_BYTES);
    bool known = read_area(pid, &area) == EPB_OK;
    struct epb_bytes bytes = {epb_buf_data(&area), epb_buf_size(&area)};
    size_t at = known ? find_arguments(bytes, &count) : 0;
    for (; known && count > 0 && at < bytes.size_bytes; count--) {
        size_t size_bytes = text_bytes(bytes, at);
        known = epb_buf_append(out, bytes.data + at, size_bytes - 1) == EPB_OK &&
                epb_buf_append(out, " ", 1) == EPB_OK;
        at += size_bytes;
    }
    epb_buf_fini(&area);
    return known;
}

bool
epb_other_age_ms(uint32_t pid, uint64_t *age_ms)
{
    int name[] = {CTL_KERN, KERN_PROC, KERN_PROC_PID, (int)pid};
    struct kinfo_proc info;
    size_t size_bytes = sizeof(info);
    struct timeval now;

    if (sysctl(name, 4, &info, &size_bytes, NULL, 0) != 0 || size_bytes == 0 ||
        gettimeofday(&now, NULL) != 0) {
        return false;
    }
    struct timeval since = info.kp_proc.p_starttime;
    *age_ms = (uint64_t)(now.tv_sec - since.tv_sec) * 1000U;
    return true;
}
