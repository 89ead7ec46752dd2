/*
 * Windows.
 *
 * A Windows program gets no argv but one string, and splits it by its own rules.
 * command_line() quotes by the rules of the Microsoft C runtime, which nearly all
 * programs follow. cmd.exe does not, so a batch file is refused: its arguments could not
 * be passed safely.
 *
 * Each command runs in a job object that ends the command when the last handle to the job
 * is closed. The system closes the handle when this process ends, however it ends. A
 * small table keeps the handles of running commands by process id; an id can't be reused
 * while its handle is open.
 */
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif

#include "proc.h"

#include <windows.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#define COMMANDS_MAX 64U
/* The exit status of a command that a signal ended, as in POSIX shells. */
#define KILLED_STATUS(signal_number) (128U + (unsigned)(signal_number))

struct command {
    uint32_t pid; /* 0: free */
    HANDLE process;
    HANDLE job;
};

static SRWLOCK commands_lock = SRWLOCK_INIT;
static struct command commands[COMMANDS_MAX];

/* Text */

/* NULL when memory is out or the text is malformed. */
static wchar_t *
widen(const char *text)
{
    int length = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text, -1, NULL, 0);
    wchar_t *wide = length > 0 ? calloc((size_t)length, sizeof(*wide)) : NULL;

    if (wide != NULL) {
        MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text, -1, wide, length);
    }
    return wide;
}

/* Quotes one argument; backslashes count double only in front of a quotation mark.
 * Returns the end of the output, at most 2 * strlen + 3 bytes after `out`. */
static char *
quote(char *out, const char *argument)
{
    *out++ = '"';
    for (;;) {
        size_t slashes = strspn(argument, "\\");

        argument += slashes;
        if (*argument == '\0' || *argument == '"') {
            memset(out, '\\', 2 * slashes);
            out += 2 * slashes;
        } else {
            memset(out, '\\', slashes);
            out += slashes;
        }
        if (*argument == '\0') {
            break;
        }
        if (*argument == '"') {
            *out++ = '\\';
        }
        *out++ = *argument++;
    }
    *out++ = '"';
    return out;
}

static wchar_t *
command_line(const char *const *argv)
{
    size_t size_bytes = 1;
    char *line;
    wchar_t *wide;

    for (size_t i = 0; argv[i] != NULL; i++) {
        size_bytes += 2 * strlen(argv[i]) + 3;
    }
    line = calloc(1, size_bytes);
    if (line == NULL) {
        return NULL;
    }
    char *out = line;

    for (size_t i = 0; argv[i] != NULL; i++) {
        if (i > 0) {
            *out++ = ' ';
        }
        out = quote(out, argv[i]);
    }
    wide = widen(line);
    free(line);
    return wide;
}

/* All variables, each ended by a NUL, plus a final NUL. */
static wchar_t *
environment_block(const char *const *envp)
{
    size_t length = 1;
    size_t at = 0;
    wchar_t *block;

    for (size_t i = 0; envp[i] != NULL; i++) {
        /* UTF-16 never needs more units than UTF-8 needs bytes. */
        length += strlen(envp[i]) + 1;
    }
    block = calloc(length + 1, sizeof(*block));
    if (block == NULL) {
        return NULL;
    }
    for (size_t i = 0; envp[i] != NULL; i++) {
        int took = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, envp[i], -1,
                                       block + at, (int)(length - at));

        if (took <= 0) {
            free(block);
            return NULL;
        }
        at += (size_t)took;
    }
    return block;
}

/* The PATH of the command's environment; NULL: use the system's search. */
static wchar_t *
search_path(const char *const *envp)
{
    for (size_t i = 0; envp[i] != NULL; i++) {
        if (_strnicmp(envp[i], "PATH=", 5) == 0) {
            return widen(envp[i] + 5);
        }
    }
    return NULL;
}

/* The program's full path; NULL when it does not exist. */
static wchar_t *
find_program(const struct epb_spawn *spec)
{
    wchar_t *name = widen(spec->file);
    wchar_t *path = NULL;
    wchar_t *found = NULL;

    DWORD length = 0;

    if (name == NULL) {
        return NULL;
    }
    if (strpbrk(spec->file, "/\\:") == NULL) {
        path = search_path(spec->envp);
    }
    length = SearchPathW(path, name, L".exe", 0, NULL, NULL);
    if (length > 0) {
        found = calloc((size_t)length + 1, sizeof(*found));
    }
    if (found != NULL && SearchPathW(path, name, L".exe", length + 1, found, NULL) == 0) {
        free(found);
        found = NULL;
    }
    free(path);
    free(name);
    return found;
}

static bool
is_batch_file(const wchar_t *program)
{
    const wchar_t *dot = wcsrchr(program, L'.');

    return dot != NULL && (_wcsicmp(dot, L".bat") == 0 || _wcsicmp(dot, L".cmd") == 0);
}

/* Starting */

static HANDLE
job_new(void)
{
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits;
    HANDLE job = CreateJobObjectW(NULL, NULL);

    if (job == NULL) {
        return NULL;
    }
    memset(&limits, 0, sizeof(limits));
    limits.BasicLimitInformation.LimitFlags =
        JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE | JOB_OBJECT_LIMIT_BREAKAWAY_OK;
    if (!SetInformationJobObject(job, JobObjectExtendedLimitInformation, &limits,
                                 sizeof(limits))) {
        CloseHandle(job);
        return NULL;
    }
    return job;
}

static bool
command_keep(uint32_t pid, HANDLE process, HANDLE job)
{
    bool kept = false;

    AcquireSRWLockExclusive(&commands_lock);
    for (unsigned i = 0; i < COMMANDS_MAX && !kept; i++) {
        if (commands[i].pid == 0) {
            commands[i] = (struct command){pid, process, job};
            kept = true;
        }
    }
    ReleaseSRWLockExclusive(&commands_lock);
    return kept;
}

/* Node makes its own streams not inheritable. */
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

static void
close_stream(HANDLE copy)
{
    if (copy != NULL) {
        (void)CloseHandle(copy);
    }
}

/* Returns an error of the system, or 0. */
static DWORD
create_process(const wchar_t *program, wchar_t *line, wchar_t *block, const wchar_t *cwd,
               DWORD flags, PROCESS_INFORMATION *started)
{
    STARTUPINFOW startup;

    memset(&startup, 0, sizeof(startup));
    startup.cb = sizeof(startup);
    startup.dwFlags = STARTF_USESTDHANDLES;
    startup.hStdInput = copy_stream(STD_INPUT_HANDLE);
    startup.hStdOutput = copy_stream(STD_OUTPUT_HANDLE);
    startup.hStdError = copy_stream(STD_ERROR_HANDLE);
    BOOL created = CreateProcessW(program, line, NULL, NULL, TRUE, flags, block, cwd,
                                  &startup, started);
    DWORD error = created ? 0 : GetLastError();
    close_stream(startup.hStdInput);
    close_stream(startup.hStdOutput);
    close_stream(startup.hStdError);
    return error;
}

/* The process starts suspended, so that it runs nothing outside the job. */
static int
start_in_job(const wchar_t *program, wchar_t *line, wchar_t *block, const wchar_t *cwd,
             bool new_group, uint32_t *pid)
{
    DWORD flags = CREATE_SUSPENDED | CREATE_UNICODE_ENVIRONMENT;
    PROCESS_INFORMATION started;
    HANDLE job = job_new();

    if (job == NULL) {
        return EAGAIN;
    }
    if (new_group) {
        flags |= CREATE_NEW_PROCESS_GROUP;
    }
    DWORD error = create_process(program, line, block, cwd, flags, &started);
    if (error != 0) {
        CloseHandle(job);
        return error == ERROR_FILE_NOT_FOUND || error == ERROR_PATH_NOT_FOUND ? ENOENT
                                                                              : EACCES;
    }
    if (!AssignProcessToJobObject(job, started.hProcess) ||
        !command_keep(started.dwProcessId, started.hProcess, job)) {
        TerminateProcess(started.hProcess, 127);
        CloseHandle(started.hThread);
        CloseHandle(started.hProcess);
        CloseHandle(job);
        return EAGAIN;
    }
    *pid = started.dwProcessId;
    ResumeThread(started.hThread);
    CloseHandle(started.hThread);
    return 0;
}

enum epb_status
epb_proc_spawn(const struct epb_spawn *spec, uint32_t *pid, int *os_error)
{
    wchar_t *program = find_program(spec);
    wchar_t *line = command_line(spec->argv);
    wchar_t *block = environment_block(spec->envp);
    wchar_t *cwd = spec->cwd == NULL ? NULL : widen(spec->cwd);

    if (program == NULL) {
        *os_error = ENOENT;
    } else if (is_batch_file(program)) {
        *os_error = EACCES;
    } else if (line == NULL || block == NULL || (spec->cwd != NULL && cwd == NULL)) {
        *os_error = ENOMEM;
    } else {
        *os_error = start_in_job(program, line, block, cwd, spec->new_group, pid);
    }
    free(cwd);
    free(block);
    free(line);
    free(program);
    if (*os_error == 0) {
        return EPB_OK;
    }
    return *os_error == ENOENT ? EPB_NOT_FOUND : EPB_INTERNAL;
}

/* Waiting and ending */

/* The command with its handles, still in the table, or NULL. Requires the lock. */
static struct command *
command_find(uint32_t pid)
{
    for (unsigned i = 0; i < COMMANDS_MAX; i++) {
        if (pid != 0 && commands[i].pid == pid) {
            return &commands[i];
        }
    }
    return NULL;
}

enum epb_status
epb_proc_wait(uint32_t pid, int *exit_status, int *term_signal)
{
    struct command *command;

    HANDLE process = NULL;
    HANDLE job = NULL;
    DWORD code = 0;

    *exit_status = -1;
    *term_signal = -1;
    AcquireSRWLockShared(&commands_lock);
    command = command_find(pid);
    if (command != NULL) {
        process = command->process;
    }
    ReleaseSRWLockShared(&commands_lock);
    if (process == NULL) {
        return EPB_NOT_FOUND;
    }
    WaitForSingleObject(process, INFINITE);
    GetExitCodeProcess(process, &code);
    AcquireSRWLockExclusive(&commands_lock);
    command = command_find(pid);
    if (command != NULL) {
        job = command->job;
        *command = (struct command){0, NULL, NULL};
    }
    ReleaseSRWLockExclusive(&commands_lock);
    CloseHandle(process);
    CloseHandle(job);
    *exit_status = (int)(code & 0x7FFFFFFFU);
    return EPB_OK;
}

enum epb_status
epb_proc_kill(uint32_t pid, bool group, int signal_number)
{
    enum epb_status status = EPB_NOT_FOUND;
    struct command *command;

    BOOL done;

    AcquireSRWLockShared(&commands_lock);
    command = command_find(pid);
    if (command != NULL) {
        done = group ? TerminateJobObject(command->job, KILLED_STATUS(signal_number))
                     : TerminateProcess(command->process, KILLED_STATUS(signal_number));
        status = done ? EPB_OK : EPB_INTERNAL;
    }
    ReleaseSRWLockShared(&commands_lock);
    return status;
}

bool
epb_proc_describe(uint32_t pid, uint32_t *parent, char *arguments, size_t room,
                  size_t *length)
{
    (void)pid, (void)parent, (void)arguments, (void)room, (void)length;
    return false;
}

/* Watching */

enum epb_proc_event
epb_proc_watch(const uint32_t *pids, size_t count, intptr_t wake, uint32_t *died)
{
    HANDLE handles[EPB_PROC_WATCH_MAX + 1];
    enum epb_proc_event event = EPB_PROC_UNSUPPORTED;
    size_t opened = 0;

    EPB_ASSERT(count <= EPB_PROC_WATCH_MAX);
    while (opened < count) {
        HANDLE process = OpenProcess(SYNCHRONIZE, FALSE, pids[opened]);

        if (process == NULL) {
            break;
        }
        handles[opened] = process;
        opened++;
    }
    if (opened == count) {
        handles[count] = (HANDLE)wake;
        DWORD got = WaitForMultipleObjects((DWORD)count + 1, handles, FALSE, INFINITE);

        if (got < WAIT_OBJECT_0 + count) {
            *died = pids[got - WAIT_OBJECT_0];
            event = EPB_PROC_DIED;
        } else if (got == WAIT_OBJECT_0 + count) {
            event = EPB_PROC_WOKEN;
        }
    } else if (GetLastError() == ERROR_INVALID_PARAMETER) {
        *died = pids[opened];
        event = EPB_PROC_DIED;
    }
    while (opened > 0) {
        opened--;
        CloseHandle(handles[opened]);
    }
    return event;
}
