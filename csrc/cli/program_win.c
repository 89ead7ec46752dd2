/*
 * See program.h. Windows has no exec: this process starts the program, waits for it, and
 * ends with its exit status.
 *
 * - The program runs in a job that ends with this process, however it ends. When the
 *   program has ended, processes that it left behind go on: the job no longer ends them.
 * - It gets the standard streams and no other handle.
 * - Ctrl-C and Ctrl-Break reach it through the console. This process ignores them.
 * - Batch files are run by cmd.exe (windows_line.h).
 */
#include "program.h"

#include <windows.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "../base/mem.h"
#include "../base/quote.h"
#include "../base/shared_mem.h"
#include "../os/wide_win.h"
#include "companion_win.h"
#include "system.h"
#include "windows_line.h"
#include "windows_path.h"

/* mingw-w64's headers lack it. */
#ifndef ERROR_ELEVATION_REQUIRED
#define ERROR_ELEVATION_REQUIRED 740L
#endif

#define NAME_SHOWN_BYTES 200U
#define PATH_ROOM_BYTES ((size_t)128 * 1024)
#define LINE_ROOM_BYTES ((size_t)256 * 1024)
#define STREAMS 3
/* The exit status of a command whose lock was lost, as of one that TERM ended. */
#define LOST_STATUS 143U

/* Sentences */

static bool
begin_sentence(struct epb_buf *sentence, const char *name)
{
    return epb_quote(sentence, (struct epb_bytes){(const uint8_t *)name, strlen(name)},
                     NAME_SHOWN_BYTES) == EPB_OK;
}

static int
explain_missing(struct epb_buf *sentence, const char *name)
{
    const char *hint =
        strpbrk(name, " \t") != NULL
            ? "give the command and its arguments as separate words, or use: -- cmd /c "
              "\"...\""
            : "check the spelling; a command of an installed package needs npx in front, "
              "and a program of this folder .\\";

    if (begin_sentence(sentence, name)) {
        (void)!epb_buf_printf(sentence, ": command not found; %s", hint);
    }
    return EPB_PROGRAM_NOT_FOUND;
}

static const char *
hint_of(DWORD error)
{
    switch (error) {
    case ERROR_BAD_EXE_FORMAT:
    case ERROR_EXE_MACHINE_TYPE_MISMATCH:
        return "it is no program for this system";
    case ERROR_ELEVATION_REQUIRED:
        return "it needs the rights of an administrator";
    case ERROR_FILENAME_EXCED_RANGE:
        return "its arguments are too long";
    default:
        return "the system refuses";
    }
}

static int
explain(struct epb_buf *sentence, const char *name, DWORD error)
{
    bool shortage = error == ERROR_NOT_ENOUGH_MEMORY || error == ERROR_OUTOFMEMORY ||
                    error == ERROR_NO_SYSTEM_RESOURCES || error == ERROR_COMMITMENT_LIMIT;

    if (begin_sentence(sentence, name)) {
        (void)!epb_buf_printf(sentence, ": it can't be executed; %s (error %lu)",
                              shortage ? "memory is out" : hint_of(error), error);
    }
    return shortage ? EPB_PROGRAM_NO_ROOM : EPB_PROGRAM_NOT_EXECUTABLE;
}

static int
explain_line(struct epb_buf *sentence, const char *name, enum epb_status status)
{
    if (status == EPB_INTERNAL) {
        return explain(sentence, name, ERROR_NOT_ENOUGH_MEMORY);
    }
    if (begin_sentence(sentence, name)) {
        (void)!epb_buf_printf(sentence, ": it can't be executed; %s",
                              status == EPB_TOO_LARGE
                                  ? "its arguments are too long"
                                  : "it is a batch file, and cmd.exe can't pass an "
                                    "argument with a line break to it");
    }
    return EPB_PROGRAM_NOT_EXECUTABLE;
}

/* Finding */

static bool
is_file(void *context, const char *path)
{
    wchar_t *wide = epb_wide_from(path);
    DWORD attributes = wide == NULL ? INVALID_FILE_ATTRIBUTES : GetFileAttributesW(wide);

    (void)context;
    epb_mem_free(wide);
    return attributes != INVALID_FILE_ATTRIBUTES &&
           (attributes & FILE_ATTRIBUTE_DIRECTORY) == 0;
}

/* Returns 0 or a status after a sentence. */
static int
find(char *const *command, struct epb_buf *found, struct epb_buf *sentence)
{
    struct epb_windows_search search = {.path = epb_system_env("PATH"),
                                        .extensions = epb_system_env("PATHEXT"),
                                        .is_file = is_file};

    switch (epb_windows_find(&search, command[0], found)) {
    case EPB_OK:
        return 0;
    case EPB_NOT_FOUND:
        return explain_missing(sentence, command[0]);
    default:
        return explain(sentence, command[0], ERROR_NOT_ENOUGH_MEMORY);
    }
}

int
epb_program_check(char *const *command, struct epb_buf *sentence)
{
    struct epb_buf found;

    epb_buf_init(&found, PATH_ROOM_BYTES);
    int status = find(command, &found, sentence);
    epb_buf_fini(&found);
    return status;
}

/* The line */

/* Not the variable ComSpec, which may name anything. */
static enum epb_status
find_cmd(struct epb_buf *path)
{
    wchar_t wide[MAX_PATH];
    UINT size = GetSystemDirectoryW(wide, MAX_PATH);
    char *folder = size == 0 || size >= MAX_PATH ? NULL : epb_wide_to(wide);
    enum epb_status status = EPB_INTERNAL;

    if (folder != NULL) {
        status = epb_buf_printf(path, "%s\\cmd.exe", folder);
    }
    epb_mem_free(folder);
    return status == EPB_OK ? epb_buf_append(path, "", 1) : status;
}

/* Replaces `path` by that of the program that runs the file. */
static enum epb_status
make_line(struct epb_buf *line, struct epb_buf *path, char *const *command)
{
    const char *const *argv = (const char *const *)command;
    const char *file = (const char *)epb_buf_data(path);
    struct epb_buf cmd;

    if (!epb_windows_is_batch(file)) {
        return epb_windows_line(line, argv);
    }
    epb_buf_init(&cmd, PATH_ROOM_BYTES);
    enum epb_status status = find_cmd(&cmd);
    if (status == EPB_OK) {
        status =
            epb_windows_batch_line(line, (const char *)epb_buf_data(&cmd), file, argv);
    }
    if (status == EPB_OK) {
        epb_buf_truncate(path, epb_buf_size(path));
        status = epb_buf_append(path, epb_buf_data(&cmd), epb_buf_size(&cmd));
    }
    epb_buf_fini(&cmd);
    return status;
}

/* Starting */

struct run {
    HANDLE streams[STREAMS]; /* inheritable copies; NULL: none */
    STARTUPINFOEXW startup;
    PROCESS_INFORMATION process;
    HANDLE job;
};

static HANDLE
copy_stream(DWORD which)
{
    HANDLE own = GetStdHandle(which);
    HANDLE copy = NULL;

    if (own == NULL || own == INVALID_HANDLE_VALUE ||
        !DuplicateHandle(GetCurrentProcess(), own, GetCurrentProcess(), &copy, 0, TRUE,
                         DUPLICATE_SAME_ACCESS)) {
        return NULL;
    }
    return copy;
}

/* Moves the streams that exist to the front. */
static size_t
list_streams(const struct run *run, HANDLE list[STREAMS])
{
    size_t count = 0;

    for (size_t i = 0; i < STREAMS; i++) {
        if (run->streams[i] != NULL) {
            list[count++] = run->streams[i];
        }
    }
    return count;
}

/* `list` must live as long as the attributes. */
static bool
set_handles(struct run *run, HANDLE *list, size_t count)
{
    LPPROC_THREAD_ATTRIBUTE_LIST attributes;
    SIZE_T size = 0;

    (void)InitializeProcThreadAttributeList(NULL, 1, 0, &size);
    attributes = epb_mem_table_alloc(size);
    if (attributes == NULL) {
        return false;
    }
    if (!InitializeProcThreadAttributeList(attributes, 1, 0, &size)) {
        epb_mem_table_free(attributes);
        return false;
    }
    run->startup.lpAttributeList = attributes;
    return UpdateProcThreadAttribute(attributes, 0, PROC_THREAD_ATTRIBUTE_HANDLE_LIST,
                                     list, count * sizeof(*list), NULL, NULL) != 0;
}

static bool
limit_job(HANDLE job, DWORD flags)
{
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits;

    memset(&limits, 0, sizeof(limits));
    limits.BasicLimitInformation.LimitFlags = flags;
    return SetInformationJobObject(job, JobObjectExtendedLimitInformation, &limits,
                                   sizeof(limits)) != 0;
}

/* Starts suspended, so that nothing of the program runs outside the job. */
static bool
create(struct run *run, const wchar_t *path, wchar_t *line)
{
    const DWORD flags = CREATE_SUSPENDED | EXTENDED_STARTUPINFO_PRESENT;
    HANDLE list[STREAMS];
    size_t count = list_streams(run, list);

    run->startup.StartupInfo.cb = sizeof(run->startup);
    run->startup.StartupInfo.dwFlags = STARTF_USESTDHANDLES;
    run->startup.StartupInfo.hStdInput = run->streams[0];
    run->startup.StartupInfo.hStdOutput = run->streams[1];
    run->startup.StartupInfo.hStdError = run->streams[2];
    return (count == 0 || set_handles(run, list, count)) &&
           CreateProcessW(path, line, NULL, NULL, count > 0, flags, NULL, NULL,
                          &run->startup.StartupInfo, &run->process);
}

static bool
start(struct run *run, const wchar_t *path, wchar_t *line)
{
    /* A program may start processes outside the job if it asks for it. */
    run->job = CreateJobObjectW(NULL, NULL);
    if (run->job == NULL || !limit_job(run->job, JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE |
                                                     JOB_OBJECT_LIMIT_BREAKAWAY_OK)) {
        return false;
    }
    run->streams[0] = copy_stream(STD_INPUT_HANDLE);
    run->streams[1] = copy_stream(STD_OUTPUT_HANDLE);
    run->streams[2] = copy_stream(STD_ERROR_HANDLE);
    if (!create(run, path, line)) {
        return false;
    }
    if (!AssignProcessToJobObject(run->job, run->process.hProcess)) {
        DWORD error = GetLastError();
        (void)TerminateProcess(run->process.hProcess, EPB_PROGRAM_NO_ROOM);
        SetLastError(error);
        return false;
    }
    return ResumeThread(run->process.hThread) != (DWORD)-1;
}

/* Waiting */

/* The process that a closed window must wait for. */
static HANDLE running;

/* The system ends this process when this returns for a closed window or a log-off. The
 * main thread ends it once the program has ended. */
static BOOL WINAPI
on_console(DWORD event)
{
    if (event != CTRL_C_EVENT && event != CTRL_BREAK_EVENT) {
        (void)WaitForSingleObject(running, INFINITE);
        Sleep(INFINITE);
    }
    return TRUE;
}

static DWORD
wait_for_end(struct run *run)
{
    DWORD status = 0;

    if (!epb_companion_serve_until(run->process.hProcess)) {
        (void)TerminateJobObject(run->job, LOST_STATUS);
        (void)WaitForSingleObject(run->process.hProcess, INFINITE);
    }
    (void)GetExitCodeProcess(run->process.hProcess, &status);
    (void)limit_job(run->job, JOB_OBJECT_LIMIT_BREAKAWAY_OK);
    return status;
}

static void
close_streams(struct run *run)
{
    for (size_t i = 0; i < STREAMS; i++) {
        if (run->streams[i] != NULL) {
            (void)CloseHandle(run->streams[i]);
        }
    }
    if (run->startup.lpAttributeList != NULL) {
        DeleteProcThreadAttributeList(run->startup.lpAttributeList);
        epb_mem_table_free(run->startup.lpAttributeList);
    }
}

/* Returns an error of the system only. */
static DWORD
run_to_end(const wchar_t *path, wchar_t *line)
{
    struct run run;

    memset(&run, 0, sizeof(run));
    bool started = start(&run, path, line);
    DWORD error = GetLastError();
    close_streams(&run);
    if (!started) {
        return error;
    }
    running = run.process.hProcess;
    (void)SetConsoleCtrlHandler(on_console, TRUE);
    DWORD status = wait_for_end(&run);
    epb_companion_end();
    ExitProcess(status);
}

static int
become(char *const *command, struct epb_buf *path, struct epb_buf *line,
       struct epb_buf *sentence)
{
    enum epb_status made = make_line(line, path, command);

    if (made != EPB_OK) {
        return explain_line(sentence, command[0], made);
    }
    wchar_t *wide_path = epb_wide_from((const char *)epb_buf_data(path));
    wchar_t *wide_line = epb_wide_from((const char *)epb_buf_data(line));
    DWORD error = ERROR_NOT_ENOUGH_MEMORY;
    if (wide_path != NULL && wide_line != NULL) {
        error = run_to_end(wide_path, wide_line);
    }
    epb_mem_free(wide_path);
    epb_mem_free(wide_line);
    return explain(sentence, command[0], error);
}

int
epb_program_become(char *const *command, struct epb_buf *sentence)
{
    struct epb_buf path;
    struct epb_buf line;

    epb_buf_init(&path, PATH_ROOM_BYTES);
    epb_buf_init(&line, LINE_ROOM_BYTES);
    int status = find(command, &path, sentence);
    if (status == 0) {
        status = become(command, &path, &line, sentence);
    }
    epb_buf_fini(&line);
    epb_buf_fini(&path);
    epb_companion_end();
    return status;
}
