/*
 * Starts the command of `start -- cmd` and watches it (base/proc.h).
 *
 * Each command has a thread that starts it and waits for it: on Linux the command gets
 * SIGTERM when the thread that started it ends, so that no command is orphaned when this
 * process is killed.
 *
 * Only these threads outlive their environment. When it ends, they find their mailbox
 * closed and deliver nothing.
 */
#include "addon.h"

#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#ifdef _WIN32
#include <fcntl.h>
#include <io.h>
#include <windows.h>
#else
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>
#endif

#include "convert.h"
#include "js_notifier.h"
#include "safe.h"

extern "C" {
#include "base/hex.h"
#include "base/mem.h"
#include "base/proc.h"
#include "os/oserror.h"
}

namespace epb {

#ifdef _WIN32

/* Wakes a thread that watches processes, by an event. */
class Alarm {
  public:
    Alarm() : event_(CreateEventW(nullptr, TRUE, FALSE, nullptr)) {}
    ~Alarm()
    {
        if (event_ != nullptr) {
            (void)CloseHandle(event_);
        }
    }
    Alarm(const Alarm &) = delete;
    bool made() const { return event_ != nullptr; }
    intptr_t handle() const { return reinterpret_cast<intptr_t>(event_); }
    void Post() { (void)SetEvent(event_); }

  private:
    HANDLE event_;
};

static bool
PointAtNothing(int fd)
{
    int nothing = _open("NUL", _O_WRONLY);
    if (nothing < 0) {
        return false;
    }
    bool done = _dup2(nothing, fd) == 0;
    (void)_close(nothing);
    return done;
}

#else

/* Wakes a thread that watches processes, by a pipe that becomes readable when its other
 * end closes. */
class Alarm {
  public:
    Alarm()
    {
#ifdef __linux__
        made_ = pipe2(ends_, O_CLOEXEC) == 0;
#else
        made_ = pipe(ends_) == 0;
        for (int end : ends_) {
            if (made_) {
                (void)fcntl(end, F_SETFD, FD_CLOEXEC);
            }
        }
#endif
    }
    ~Alarm()
    {
        if (!made_) {
            return;
        }
        Post();
        (void)close(ends_[0]);
    }
    Alarm(const Alarm &) = delete;
    bool made() const
    {
        return made_;
    }
    intptr_t handle() const
    {
        return ends_[0];
    }
    void Post()
    {
        if (ends_[1] >= 0) {
            (void)close(ends_[1]);
        }
        ends_[1] = -1;
    }

  private:
    int ends_[2] = {-1, -1};
    bool made_ = false;
};

static bool
PointAtNothing(int fd)
{
    int nothing = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (nothing < 0) {
        return false;
    }
    bool done = dup2(nothing, fd) == fd;
    (void)close(nothing);
    return done;
}

#endif

/* Blocks all signals for a new thread: the program's signals go to its own threads. */
class SignalsBlocked {
  public:
#ifdef _WIN32
    SignalsBlocked()
    {
    }
#else
    SignalsBlocked()
    {
        sigset_t all;
        sigfillset(&all);
        (void)pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    ~SignalsBlocked()
    {
        (void)pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    }

  private:
    sigset_t before_;
#endif
};

/*
 * A JavaScript callback, to be called once by a thread that may outlive the environment.
 * The thread and the environment share the mailbox; the mutex decides which of them is
 * first.
 */
class Mailbox : public JsNotifier::Owner, public std::enable_shared_from_this<Mailbox> {
  public:
    using Deliver = void (*)(Napi::Env env, const Napi::FunctionReference &callback,
                             Notification *notification);

    /* False with a pending JavaScript exception. */
    bool Open(Napi::Env env, const char *name, Napi::Function callback, Deliver deliver)
    {
        notifier_ = JsNotifier::Open(env, name, this);
        if (notifier_ == nullptr) {
            return false;
        }
        callback_ = Napi::Persistent(callback);
        deliver_ = deliver;
        self_ = shared_from_this();
        return true;
    }

    /* From the thread, once. Takes ownership. */
    void Post(Notification *take_notification)
    {
        std::lock_guard<std::mutex> guard(mutex_);
        if (notifier_ != nullptr) {
            notifier_->Post(take_notification);
        } else {
            delete take_notification;
        }
    }

    /* The mailbox no longer keeps the process alive until the callback. */
    void Unref() { notifier_->Unref(); }

    /* For a thread that may wait for ever: posts `alarm` when the mailbox closes. */
    void RingWhenClosed(std::shared_ptr<Alarm> alarm) { alarm_ = alarm; }

    /* On the JavaScript thread: the callback will not be called any more. */
    void Close()
    {
        JsNotifier *notifier = Detach();
        if (notifier != nullptr) {
            notifier->Close();
        }
        Forget();
    }

    void OnNotify(Napi::Env env, Notification *notification) override
    {
        Napi::HandleScope scope(env);
        std::shared_ptr<Mailbox> keep = self_;
        Napi::FunctionReference callback = std::move(callback_);
        Close();
        deliver_(env, callback, notification);
    }

    void OnTeardown() override
    {
        (void)Detach();
        Forget();
    }

  private:
    JsNotifier *Detach()
    {
        std::lock_guard<std::mutex> guard(mutex_);
        JsNotifier *notifier = notifier_;
        notifier_ = nullptr;
        return notifier;
    }

    void Forget()
    {
        std::shared_ptr<Mailbox> keep = std::move(self_);
        callback_.Reset();
        if (alarm_ != nullptr) {
            alarm_->Post();
        }
    }

    std::mutex mutex_;
    JsNotifier *notifier_ = nullptr; /* guarded by the mutex once the thread runs */
    Napi::FunctionReference callback_;
    Deliver deliver_ = nullptr;
    std::shared_ptr<Alarm> alarm_;
    std::shared_ptr<Mailbox> self_; /* the environment's reference */
};

/* spawn */

struct ExitNews : Notification {
    int exit_status = -1;
    int term_signal = -1;
};

/* The input of the thread that starts a command, and its results. */
struct Command {
    std::string file;
    std::vector<std::string> args; /* without argv[0] */
    std::vector<std::string> env;
    std::string cwd;
    bool has_cwd = false;
    bool new_group = false;
    /* Made before the thread starts. */
    std::vector<const char *> argv;
    std::vector<const char *> envp;
    std::unique_ptr<ExitNews> notification;

    std::mutex mutex;
    std::condition_variable started;
    bool tried = false;
    enum epb_status status = EPB_OK;
    uint32_t pid = 0;
    int os_error = 0;
};

static std::vector<const char *>
Pointers(const std::string *first, const std::vector<std::string> &texts)
{
    std::vector<const char *> pointers;

    if (first != nullptr) {
        pointers.push_back(first->c_str());
    }
    for (const std::string &text : texts) {
        pointers.push_back(text.c_str());
    }
    pointers.push_back(nullptr);
    return pointers;
}

static bool
StartCommand(Command *command)
{
    struct epb_spawn spec = {};

    spec.file = command->file.c_str();
    spec.argv = command->argv.data();
    spec.envp = command->envp.data();
    spec.cwd = command->has_cwd ? command->cwd.c_str() : nullptr;
    spec.new_group = command->new_group;
    std::lock_guard<std::mutex> guard(command->mutex);
    command->status = epb_proc_spawn(&spec, &command->pid, &command->os_error);
    command->tried = true;
    command->started.notify_one();
    return command->status == EPB_OK;
}

static void
RunCommand(std::shared_ptr<Command> command, std::shared_ptr<Mailbox> mailbox)
{
    if (!StartCommand(command.get())) {
        return;
    }
    ExitNews *notification = command->notification.get();
    /* On failure both stay -1: the command has ended in an unknown way. */
    enum epb_status status = epb_proc_wait(command->pid, &notification->exit_status,
                                           &notification->term_signal);
    (void)status;
    mailbox->Post(command->notification.release());
}

static Napi::Value
NumberOrNull(Napi::Env env, int number)
{
    if (number < 0) {
        return env.Null();
    }
    return Napi::Number::New(env, number);
}

static void
DeliverExit(Napi::Env env, const Napi::FunctionReference &callback,
            Notification *notification)
{
    const ExitNews *exit = static_cast<const ExitNews *>(notification);

    callback.Call(
        {NumberOrNull(env, exit->exit_status), NumberOrNull(env, exit->term_signal)});
}

static bool
ReadCommand(const Napi::CallbackInfo &info, Command *command)
{
    Napi::Env env = info.Env();

    if (!ToText(env, info[0], "file", &command->file) ||
        !ToTexts(env, info[1], "args", &command->args) ||
        !ToTexts(env, info[2], "env", &command->env)) {
        return false;
    }
    if (!info[3].IsObject()) {
        ThrowType(env, "options must be an object");
        return false;
    }
    Napi::Object options = info[3].As<Napi::Object>();
    command->argv = Pointers(&command->file, command->args);
    command->envp = Pointers(nullptr, command->env);
    command->notification.reset(new ExitNews);
    return OptionBoolean(options, "newGroup", &command->new_group) &&
           OptionText(options, "cwd", &command->cwd, &command->has_cwd);
}

/* Starts a detached thread. If none can start, closes the mailbox and rethrows. */
template <typename... Arguments>
static void
StartThread(const std::shared_ptr<Mailbox> &mailbox, Arguments... arguments)
{
    SignalsBlocked blocked;

    try {
        std::thread(arguments..., mailbox).detach();
    } catch (const std::exception &) {
        mailbox->Close();
        throw;
    }
}

/* spawn(file, args, env, { newGroup, cwd }, onExit) -> pid */
static Napi::Value
Spawn(const Napi::CallbackInfo &info)
{
    Napi::Env env = info.Env();
    std::shared_ptr<Command> command = std::make_shared<Command>();
    std::shared_ptr<Mailbox> mailbox = std::make_shared<Mailbox>();
    Napi::Function on_exit;

    if (!ReadCommand(info, command.get()) ||
        !ToFunction(env, info[4], "onExit", &on_exit) ||
        !mailbox->Open(env, "epb.command", on_exit, DeliverExit)) {
        return env.Undefined();
    }
    std::unique_lock<std::mutex> lock(command->mutex);
    StartThread(mailbox, RunCommand, command);
    command->started.wait(lock, [&command] { return command->tried; });
    if (command->status == EPB_OK) {
        return Napi::Number::New(env, command->pid);
    }
    mailbox->Close();
    int error = epb_os_error_from(command->os_error);
    ThrowError(env, command->os_error == 0 ? "internal" : epb_os_error_name(error),
               "The command can't be started: " + command->file + ": " +
                   epb_os_error_message(error));
    return env.Undefined();
}

/* The rest */

/* kill(pid, group, signalNumber) -> whether the process still existed. */
static Napi::Value
Kill(const Napi::CallbackInfo &info)
{
    Napi::Env env = info.Env();
    uint64_t pid = 0;
    bool group = false;
    uint64_t signal_number = 0;

    if (!ToWhole(env, info[0], "pid", &pid) ||
        !ToBoolean(env, info[1], "group", &group) ||
        !ToWhole(env, info[2], "signalNumber", &signal_number)) {
        return env.Undefined();
    }
    enum epb_status status =
        epb_proc_kill(static_cast<uint32_t>(pid), group, static_cast<int>(signal_number));
    return Napi::Boolean::New(env, status == EPB_OK);
}

struct DeathNews : Notification {
    uint32_t pid = 0;
};

/* The input of the thread that watches processes, and its result. */
struct Watch {
    std::vector<uint32_t> pids;
    std::unique_ptr<DeathNews> notification;
};

static void
DeliverDeath(Napi::Env env, const Napi::FunctionReference &callback,
             Notification *notification)
{
    callback.Call(
        {Napi::Number::New(env, static_cast<const DeathNews *>(notification)->pid)});
}

static enum epb_proc_event
WatchOnce(const std::vector<uint32_t> &pids, const Alarm &alarm, uint32_t *died)
{
    return epb_proc_watch(pids.data(), pids.size(), alarm.handle(), died);
}

static void
RunWatch(std::shared_ptr<Watch> watch, std::shared_ptr<Alarm> alarm,
         std::shared_ptr<Mailbox> mailbox)
{
    if (WatchOnce(watch->pids, *alarm, &watch->notification->pid) == EPB_PROC_DIED) {
        mailbox->Post(watch->notification.release());
    }
}

static bool
ToPids(Napi::Env env, const Napi::Value &value, std::vector<uint32_t> *pids)
{
    if (!value.IsArray() || value.As<Napi::Array>().Length() > EPB_PROC_WATCH_MAX) {
        ThrowType(env, "pids must be an array of at most " +
                           std::to_string(EPB_PROC_WATCH_MAX));
        return false;
    }
    Napi::Array array = value.As<Napi::Array>();
    for (uint32_t i = 0; i < array.Length(); i++) {
        uint64_t pid = 0;
        if (!ToWhole(env, array.Get(i), "pid", &pid)) {
            return false;
        }
        pids->push_back(static_cast<uint32_t>(pid));
    }
    return true;
}

/* Whether the system can watch processes at all: tests it with an alarm already
 * posted. */
static bool
CanWatch(const std::vector<uint32_t> &pids)
{
    Alarm ringing;
    uint32_t died = 0;

    if (!ringing.made()) {
        return false;
    }
    ringing.Post();
    return WatchOnce(pids, ringing, &died) != EPB_PROC_UNSUPPORTED;
}

/* watchAncestors(pids, onDeath) -> false when the system can't. Does not keep the process
 * alive. */
static Napi::Value
WatchAncestors(const Napi::CallbackInfo &info)
{
    Napi::Env env = info.Env();
    std::shared_ptr<Watch> watch = std::make_shared<Watch>();
    Napi::Function on_death;

    watch->notification.reset(new DeathNews);
    if (!ToPids(env, info[0], &watch->pids) ||
        !ToFunction(env, info[1], "onDeath", &on_death)) {
        return env.Undefined();
    }
    std::shared_ptr<Alarm> alarm = std::make_shared<Alarm>();
    if (!alarm->made() || !CanWatch(watch->pids)) {
        return Napi::Boolean::New(env, false);
    }
    std::shared_ptr<Mailbox> mailbox = std::make_shared<Mailbox>();
    if (!mailbox->Open(env, "epb.ancestors", on_death, DeliverDeath)) {
        return env.Undefined();
    }
    mailbox->Unref();
    mailbox->RingWhenClosed(alarm);
    StartThread(mailbox, RunWatch, watch, alarm);
    return Napi::Boolean::New(env, true);
}

/* describeProcess(pid) -> { parent, commandLine }, or null. Native, since reading two
 * files per process in JavaScript costs `start` a tenth of its time. */
static Napi::Value
DescribeProcess(const Napi::CallbackInfo &info)
{
    Napi::Env env = info.Env();
    uint64_t pid = 0;
    uint32_t parent = 0;
    char arguments[4096];
    size_t length = 0;

    if (!ToWhole(env, info[0], "pid", &pid)) {
        return env.Undefined();
    }
    if (pid > UINT32_MAX || !epb_proc_describe(static_cast<uint32_t>(pid), &parent,
                                               arguments, sizeof(arguments), &length)) {
        return env.Null();
    }
    Napi::Object found = Napi::Object::New(env);
    found.Set("parent", parent);
    found.Set("commandLine", Napi::String::New(env, arguments, length));
    return found;
}

/* makeSecret() -> 256 random bits as 64 hexadecimal digits. Native, since loading Node's
 * crypto costs `start` more than everything else. */
static Napi::Value
MakeSecret(const Napi::CallbackInfo &info)
{
    Napi::Env env = info.Env();
    char text[EPB_HEX_SECRET_DIGITS];

    if (epb_hex_random(text, sizeof(text)) != EPB_OK) {
        ThrowError(env, "internal", "The system gives no random bytes");
        return env.Undefined();
    }
    Napi::String secret = Napi::String::New(env, text, sizeof(text));
    epb_mem_wipe(text, sizeof(text));
    return secret;
}

/* discard(fd): redirects stdout (1) or stderr (2) to nowhere. The descriptor stays in use
 * throughout, so that no other thread can get its number. */
static Napi::Value
Discard(const Napi::CallbackInfo &info)
{
    Napi::Env env = info.Env();
    uint64_t fd = 0;

    if (!ToWhole(env, info[0], "fd", &fd)) {
        return env.Undefined();
    }
    if (fd != 1 && fd != 2) {
        ThrowType(env, "fd must be 1 or 2");
        return env.Undefined();
    }
    return Napi::Boolean::New(env, PointAtNothing(static_cast<int>(fd)));
}

void
DefineProcess(Napi::Env env, Napi::Object exports)
{
    exports.Set("spawn", Napi::Function::New<Safely<Spawn>>(env, "spawn"));
    exports.Set("kill", Napi::Function::New<Safely<Kill>>(env, "kill"));
    exports.Set("watchAncestors",
                Napi::Function::New<Safely<WatchAncestors>>(env, "watchAncestors"));
    exports.Set("describeProcess",
                Napi::Function::New<Safely<DescribeProcess>>(env, "describeProcess"));
    exports.Set("makeSecret", Napi::Function::New<Safely<MakeSecret>>(env, "makeSecret"));
    exports.Set("discard", Napi::Function::New<Safely<Discard>>(env, "discard"));
}

} // namespace epb
