/* See oserror.h. libuv's own look-up allocates for unknown codes; this look-up never
 * does. */
#include "oserror.h"

#include <uv.h>

const char *
epb_os_error_name(int os_error)
{
    switch (os_error) {
#define NAME(name, message) \
    case UV_##name:         \
        return #name;
        UV_ERRNO_MAP(NAME)
#undef NAME
    default:
        return "UNKNOWN";
    }
}

const char *
epb_os_error_message(int os_error)
{
    switch (os_error) {
#define MESSAGE(name, message) \
    case UV_##name:            \
        return message;
        UV_ERRNO_MAP(MESSAGE)
#undef MESSAGE
    default:
        return "unknown system error";
    }
}

int
epb_os_error_from(int system_error)
{
    return uv_translate_sys_error(system_error);
}

const char *
epb_os_libuv_version(void)
{
    return uv_version_string();
}
