/*
 * Windows.
 *
 * A reservation begins at a multiple of 64 KiB (EPB_SYS_MAP_ALIGN_BYTES). The first 64
 * KiB and the last page of the reserved span are never committed: they are the guards.
 */
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif

#include "sys.h"

#include <windows.h>

#include <bcrypt.h>
#include <limits.h>
#include <realtimeapiset.h>

/* FILETIME counts units of 100 ns. */
#define UNITS_A_MS 10000U
/* From 1601 to 1970. */
#define EPOCH_MS UINT64_C(11644473600000)

static SRWLOCK shared_mutex = SRWLOCK_INIT;

void
epb_sys_now(struct epb_time *now)
{
    FILETIME wall;
    ULONGLONG awake = 0;

    GetSystemTimePreciseAsFileTime(&wall);
    QueryUnbiasedInterruptTime(&awake);
    now->boot_ms = GetTickCount64();
    now->mono_ms = awake / UNITS_A_MS;
    now->wall_ms =
        (((uint64_t)wall.dwHighDateTime << 32) | wall.dwLowDateTime) / UNITS_A_MS -
        EPOCH_MS;
}

uint64_t
epb_sys_ticks_ns(void)
{
    LARGE_INTEGER count;
    LARGE_INTEGER rate;
    uint64_t ticks;
    uint64_t a_second;

    QueryPerformanceCounter(&count);
    QueryPerformanceFrequency(&rate);
    ticks = (uint64_t)count.QuadPart;
    a_second = (uint64_t)rate.QuadPart;
    return ticks / a_second * 1000000000U + ticks % a_second * 1000000000U / a_second;
}

enum epb_status
epb_sys_random(void *out, size_t size_bytes)
{
    if (size_bytes > ULONG_MAX) {
        return EPB_INTERNAL;
    }
    return BCryptGenRandom(NULL, out, (ULONG)size_bytes,
                           BCRYPT_USE_SYSTEM_PREFERRED_RNG) == 0
               ? EPB_OK
               : EPB_INTERNAL;
}

void
epb_sys_yield(void)
{
    SwitchToThread();
}

/* Not needed here: only this process's user and the administrator can make dumps of
 * it. */
void
epb_sys_wipe_registers(void)
{
}

size_t
epb_sys_page_bytes(void)
{
    SYSTEM_INFO info;

    GetSystemInfo(&info);
    return info.dwPageSize;
}

void *
epb_sys_pages_map(size_t size_bytes, bool want_lock, enum epb_sys_pages *kind)
{
    size_t page_bytes = epb_sys_page_bytes();
    size_t span_bytes = EPB_SYS_MAP_ALIGN_BYTES + size_bytes + 2 * page_bytes;
    uint8_t *span;

    *kind = EPB_PAGES_PLAIN;
    if (size_bytes == 0 || span_bytes < size_bytes) {
        return NULL;
    }
    span = VirtualAlloc(NULL, span_bytes, MEM_RESERVE, PAGE_NOACCESS);
    if (span == NULL) {
        return NULL;
    }
    uint8_t *body = span + EPB_SYS_MAP_ALIGN_BYTES;

    if (VirtualAlloc(body, size_bytes, MEM_COMMIT, PAGE_READWRITE) == NULL) {
        VirtualFree(span, 0, MEM_RELEASE);
        return NULL;
    }
    if (want_lock && VirtualLock(body, size_bytes)) {
        *kind = EPB_PAGES_LOCKED;
    }
    return body;
}

void
epb_sys_pages_unmap(void *pages, size_t size_bytes)
{
    (void)size_bytes;
    VirtualFree((uint8_t *)pages - EPB_SYS_MAP_ALIGN_BYTES, 0, MEM_RELEASE);
}

size_t
epb_sys_lock_limit_bytes(void)
{
    SIZE_T smallest;
    SIZE_T largest;

    /* The lockable memory is the minimum working set, less some pages of overhead. */
    if (!GetProcessWorkingSetSize(GetCurrentProcess(), &smallest, &largest)) {
        return 0;
    }
    return smallest;
}

void
epb_sys_shared_lock(void)
{
    AcquireSRWLockExclusive(&shared_mutex);
}

void
epb_sys_shared_unlock(void)
{
    ReleaseSRWLockExclusive(&shared_mutex);
}

uint32_t
epb_sys_pid(void)
{
    return GetCurrentProcessId();
}

enum epb_status
epb_sys_harden_process(void)
{
    /* Disables crash dialogues and error reports, which would contain a dump. On Windows,
     * other processes of the same user can always open this one. */
    SetErrorMode(SEM_FAILCRITICALERRORS | SEM_NOGPFAULTERRORBOX | SEM_NOOPENFILEERRORBOX);
    return EPB_OK;
}
