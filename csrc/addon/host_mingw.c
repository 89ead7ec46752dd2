/*
 * The hook of the delay-loaded import of Node's functions: takes them from the program
 * that loads the addon. An ordinary import would name node.exe, but Electron and other
 * hosts have other names. Only scripts/windows.mk uses this file: with Microsoft's
 * compiler, node-gyp adds such a hook.
 */
#include <windows.h>

#include <delayimp.h>
#include <stdint.h>

static FARPROC WINAPI
take_host(unsigned event, DelayLoadInfo *info)
{
    (void)info;
    return event == dliNotePreLoadLibrary ? (FARPROC)(uintptr_t)GetModuleHandleW(NULL)
                                          : NULL;
}

PfnDliHook __pfnDliNotifyHook2 = take_host;
