/*
 * The entry point: passes the core's tables and the classes to JavaScript.
 *
 * The addon runs in several environments of one process at once (worker threads), and
 * each has separate instances. Data that they share is in base/, os/, server/ and
 * client/, and is guarded there. The addon is never unloaded: Node closes an addon with
 * the last environment that loaded it, while our threads may still run.
 */
#include "addon.h"

#include "convert.h"
#include "safe.h"

#ifdef _WIN32
#include <windows.h>
#else
#include <dlfcn.h>
#endif

extern "C" {
#include "base/status.h"
#include "base/sys.h"
#include "base/utf8.h"
#include "core/command.h"
#include "os/oserror.h"
#include "wire/frame.h"
}

namespace epb {

static void
StayLoaded()
{
#ifdef _WIN32
    HMODULE self = nullptr;
    (void)GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_PIN |
                                 GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS,
                             reinterpret_cast<LPCWSTR>(&StayLoaded), &self);
#else
    Dl_info self;

    if (dladdr(reinterpret_cast<void *>(&StayLoaded), &self) != 0) {
        (void)dlopen(self.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
    }
#endif
}

static Napi::Object
Versions(Napi::Env env)
{
    Napi::Object versions = Napi::Object::New(env);

    versions.Set("addon", EPB_VERSION);
    versions.Set("mbedtls", EPB_MBEDTLS_VERSION);
    versions.Set("libsodium", EPB_LIBSODIUM_VERSION);
    versions.Set("cjson", EPB_CJSON_VERSION);
    versions.Set("libuv", epb_os_libuv_version());
    return versions;
}

static Napi::Array
Statuses(Napi::Env env)
{
    Napi::Array statuses = Napi::Array::New(env);

    for (unsigned i = 0; i < epb_status_count(); i++) {
        Napi::Object row = Napi::Object::New(env);
        row.Set("number", i);
        row.Set("code", epb_status_name(static_cast<epb_status>(i)));
        row.Set("message", epb_status_message(static_cast<epb_status>(i)));
        statuses.Set(i, row);
    }
    return statuses;
}

static void
Commands(Napi::Env env, Napi::Object exports)
{
    Napi::Object actions = Napi::Object::New(env);
    Napi::Array commands = Napi::Array::New(env);

    for (unsigned i = 0; i < epb_command_count(); i++) {
        const epb_command *command = epb_command_at(i);
        Napi::Object row = Napi::Object::New(env);
        row.Set("action", static_cast<uint32_t>(command->action));
        row.Set("name", command->name);
        row.Set("needs", command->needs);
        row.Set("takes", command->takes);
        commands.Set(i, row);
        actions.Set(command->name, static_cast<uint32_t>(command->action));
    }
    exports.Set("actions", actions);
    exports.Set("commands", commands);
}

static Napi::Object
Flags(Napi::Env env)
{
    static const struct {
        const char *name;
        uint32_t bit;
    } flags[] = {
        {"ttl", EPB_F_TTL},
        {"version", EPB_F_VERSION},
        {"fence", EPB_F_FENCE},
        {"count", EPB_F_COUNT},
        {"wait", EPB_F_WAIT},
        {"period", EPB_F_PERIOD},
        {"burst", EPB_F_BURST},
        {"cost", EPB_F_COST},
        {"ifAbsent", EPB_F_IF_ABSENT},
        {"force", EPB_F_FORCE},
        {"binary", EPB_F_BINARY},
        {"gzip", EPB_F_GZIP},
        {"fresh", EPB_F_FRESH},
        {"shared", EPB_F_SHARED},
        {"detached", EPB_F_DETACHED},
        {"discard", EPB_F_DISCARD},
        {"hasKey", EPB_HAS_KEY},
        {"hasWorker", EPB_HAS_WORKER},
        {"hasValue", EPB_HAS_VALUE},
    };
    Napi::Object object = Napi::Object::New(env);

    for (const auto &flag : flags) {
        object.Set(flag.name, flag.bit);
    }
    return object;
}

/* isPlain(view, at, end) -> whether those bytes of a DataView are plain text (utf8.h). */
static Napi::Value
IsPlain(const Napi::CallbackInfo &info)
{
    Napi::Env env = info.Env();
    uint64_t at = 0;
    uint64_t end = 0;

    if (!info[0].IsDataView()) {
        ThrowType(env, "view must be a DataView");
        return env.Undefined();
    }
    if (!ToWhole(env, info[1], "at", &at) || !ToWhole(env, info[2], "end", &end)) {
        return env.Undefined();
    }
    Napi::DataView view = info[0].As<Napi::DataView>();
    if (end > view.ByteLength() || at > end) {
        ThrowType(env, "at and end must be within the view");
        return env.Undefined();
    }
    const uint8_t *data = static_cast<const uint8_t *>(view.Data());
    return Napi::Boolean::New(env, epb_utf8_is_plain({data + at, end - at}));
}

/* now() -> milliseconds, with fractions, on a monotonic clock. The clock starts near 0,
 * so that whole milliseconds are small integers in V8 for 24 days. Replaces Node's
 * perf_hooks, which loads eleven modules and which tests mock. It is called for every
 * request, so it is registered directly, without Safely: it can't throw. */
static napi_value
Now(napi_env env, napi_callback_info info)
{
    static const uint64_t start_ns = epb_sys_ticks_ns();
    double ms = static_cast<double>(epb_sys_ticks_ns() - start_ns) / 1e6;
    napi_value result = nullptr;

    (void)info;
    (void)napi_create_double(env, ms, &result);
    return result;
}

static Napi::Value
NowFunction(Napi::Env env)
{
    napi_value function = nullptr;

    (void)napi_create_function(env, "now", NAPI_AUTO_LENGTH, Now, nullptr, &function);
    return {env, function};
}

static void
HardenProcess(const Napi::CallbackInfo &info)
{
    if (epb_sys_harden_process() == EPB_OK) {
        return;
    }
    ThrowError(info.Env(), "internal",
               "The system refuses to forbid core dumps and tracing");
}

static Napi::Object
Init(Napi::Env env, Napi::Object exports)
{
    StayLoaded();
    exports.Set("now", NowFunction(env));
    exports.Set("isPlain", Napi::Function::New<Safely<IsPlain>>(env, "isPlain"));
    exports.Set("versions", Versions(env));
    exports.Set("statuses", Statuses(env));
    exports.Set("flags", Flags(env));
    exports.Set("frameVersion", EPB_FRAME_VERSION);
    exports.Set("hardenProcess",
                Napi::Function::New<Safely<HardenProcess>>(env, "hardenProcess"));
    Commands(env, exports);
    DefineChannel(env, exports);
    DefineBroker(env, exports);
    DefineBecome(env, exports);
    return exports;
}

} // namespace epb

static Napi::Object
InitModule(Napi::Env env, Napi::Object exports)
{
    (void)epb::Caught(env, [&] { epb::Init(env, exports); });
    return exports;
}

NODE_API_MODULE(epb_native, InitModule)
