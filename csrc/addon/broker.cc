/*
 * class Broker: a server (server/server.h), its options, and its events.
 *
 * A started Broker stays alive, and keeps the process alive unless it is unref'd. A
 * Broker that has not started, or has stopped, can be collected. onEvent is a property of
 * the object itself, so that a closure over the Broker makes no uncollectable cycle.
 *
 * However its environment ends (worker.terminate(), process.exit()), the server is
 * stopped first: its memory is wiped, its socket removed, its thread joined.
 */
#include "addon.h"

#include <atomic>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "convert.h"
#include "js_notifier.h"
#include "safe.h"

extern "C" {
#include "os/oserror.h"
#include "server/server.h"
}

namespace epb {

/* The most log events that JavaScript has not yet received. Further ones, and events for
 * which memory is out, are dropped and counted. */
static constexpr int kPendingMax = 1024;
static constexpr char kOnEvent[] = "onEvent";

class Broker : public Napi::ObjectWrap<Broker>,
               public JsNotifier::Owner,
               public WithFallbackStorage<Broker> {
  public:
    static void Define(Napi::Env env, Napi::Object exports);
    explicit Broker(const Napi::CallbackInfo &info);
    ~Broker() override;

    void OnNotify(Napi::Env env, Notification *notification) override;
    void OnTeardown() override;

  private:
    struct ServerNews : Notification {
        enum epb_server_event event = EPB_SERVER_LOG;
        std::unique_ptr<char[]> json; /* NULL: an empty object */
        size_t json_bytes = 0;
    };

    template <auto method> Napi::Value Safe(const Napi::CallbackInfo &info)
    {
        return CaughtValue(info.Env(), [&] { return (this->*method)(info); });
    }

    void ReadArguments(const Napi::CallbackInfo &info);
    bool ReadOptions(const Napi::Object &options);
    Napi::Value Start(const Napi::CallbackInfo &info);
    void Stop(const Napi::CallbackInfo &info);
    void StopSync(const Napi::CallbackInfo &info);
    void RefProcess(const Napi::CallbackInfo &info);
    void UnrefProcess(const Napi::CallbackInfo &info);
    Napi::Value Path(const Napi::CallbackInfo &info);

    ServerNews *MakeNews(enum epb_server_event event, struct epb_bytes json);
    static void OnEvent(void *context, enum epb_server_event event,
                        struct epb_bytes json);
    void ThrowStart(Napi::Env env, enum epb_status status, int os_error);
    void End();

    struct epb_server_options options_ = {};
    std::string path_option_;
    std::string pipe_id_;
    bool has_path_ = false;
    bool has_pipe_id_ = false;
    Napi::Reference<Napi::Uint8Array> secret_; /* until Start */
    std::vector<Napi::FunctionReference> on_stopped_;
    epb_server *server_ = nullptr;
    JsNotifier *notifier_ = nullptr;
    std::unique_ptr<ServerNews> idle_news_;
    std::unique_ptr<ServerNews> stopped_news_;
    std::atomic<int> pending_{0};
    std::atomic<uint64_t> left_out_{0};
};

void
Broker::Define(Napi::Env env, Napi::Object exports)
{
    exports.Set(
        "Broker",
        DefineClass(env, "Broker",
                    {InstanceMethod<&Broker::Safe<&Broker::Start>>("start"),
                     InstanceMethod<&Broker::Safe<&Broker::Stop>>("stop"),
                     InstanceMethod<&Broker::Safe<&Broker::StopSync>>("stopSync"),
                     InstanceMethod<&Broker::Safe<&Broker::RefProcess>>("ref"),
                     InstanceMethod<&Broker::Safe<&Broker::UnrefProcess>>("unref"),
                     InstanceAccessor<&Broker::Path>("path")}));
}

bool
Broker::ReadOptions(const Napi::Object &given)
{
    struct epb_options *engine = &options_.engine;

    epb_options_default(engine);
    return OptionWhole(given, "maxRequestSize", &engine->max_request_bytes) &&
           OptionWhole(given, "maxValueSize", &engine->max_value_bytes) &&
           OptionWhole(given, "maxItems", &engine->max_items) &&
           OptionWhole(given, "maxMemory", &engine->max_memory_bytes) &&
           OptionWhole(given, "maxConnections", &engine->max_connections) &&
           OptionWhole(given, "maxWaiters", &engine->max_waiters) &&
           OptionWhole(given, "defaultTTL", &engine->default_ttl_ms) &&
           OptionWhole(given, "sweeperInterval", &engine->sweeper_interval_ms) &&
           OptionBoolean(given, "requireTTL", &engine->require_ttl) &&
           OptionBoolean(given, "evictLru", &engine->evict_lru) &&
           OptionBoolean(given, "refreshTTLOnGet", &engine->refresh_ttl_on_get) &&
           OptionBoolean(given, "requireMlock", &engine->require_mlock) &&
           OptionBoolean(given, "singleLease", &engine->single_lease) &&
           OptionBoolean(given, "legacyHmac", &options_.legacy_hmac) &&
           OptionBoolean(given, "debug", &options_.debug) &&
           OptionWhole(given, "idleTimeout", &options_.idle_timeout_ms) &&
           OptionWhole(given, "heartbeatInterval", &options_.heartbeat_ms) &&
           OptionText(given, "pipeId", &pipe_id_, &has_pipe_id_) &&
           OptionText(given, "path", &path_option_, &has_path_);
}

Broker::Broker(const Napi::CallbackInfo &info) : Napi::ObjectWrap<Broker>(info)
{
    if (InSpare()) {
        ThrowFailure(info.Env());
        return;
    }
    /* The thread is being terminated: the wrapper could not be attached to its object. */
    if (IsEmpty()) {
        return;
    }
    (void)Caught(info.Env(), [&] { ReadArguments(info); });
}

void
Broker::ReadArguments(const Napi::CallbackInfo &info)
{
    Napi::Env env = info.Env();
    Napi::Function on_event;
    epb_bytes secret = {nullptr, 0};

    if (!info[0].IsObject()) {
        ThrowType(env, "options must be an object");
        return;
    }
    if (!ReadOptions(info[0].As<Napi::Object>()) ||
        !ToBytes(env, info[1], "secret", &secret) ||
        !ToFunction(env, info[2], "onEvent", &on_event)) {
        return;
    }
    if (secret.size_bytes != 0) {
        secret_ = Napi::Persistent(info[1].As<Napi::Uint8Array>());
    }
    Value().DefineProperty(
        Napi::PropertyDescriptor::Value(kOnEvent, on_event, napi_default));
}

Broker::~Broker()
{
    End();
}

/* Stops and frees the server; no thread posts afterwards. */
void
Broker::End()
{
    bool started = server_ != nullptr;

    epb_server_stop(server_);
    server_ = nullptr;
    if (notifier_ != nullptr) {
        notifier_->Close();
    }
    notifier_ = nullptr;
    if (started) {
        (void)Unref();
    }
}

void
Broker::OnTeardown()
{
    epb_server_stop(server_);
    server_ = nullptr;
    notifier_ = nullptr;
}

/* Start has made the notifications of events that occur once. NULL when memory is out. */
Broker::ServerNews *
Broker::MakeNews(enum epb_server_event event, struct epb_bytes json)
{
    if (event == EPB_SERVER_IDLE) {
        return idle_news_.release();
    }
    if (event == EPB_SERVER_STOPPED) {
        return stopped_news_.release();
    }
    std::unique_ptr<ServerNews> notification(new (std::nothrow) ServerNews);
    if (notification == nullptr) {
        return nullptr;
    }
    notification->event = event;
    notification->json.reset(new (std::nothrow) char[json.size_bytes]);
    if (notification->json == nullptr) {
        return nullptr;
    }
    memcpy(notification->json.get(), json.data, json.size_bytes);
    notification->json_bytes = json.size_bytes;
    return notification.release();
}

/* On the engine's thread. */
void
Broker::OnEvent(void *context, enum epb_server_event event, struct epb_bytes json)
{
    Broker *broker = static_cast<Broker *>(context);

    if (event == EPB_SERVER_LOG && broker->pending_.fetch_add(1) >= kPendingMax) {
        broker->pending_.fetch_sub(1);
        broker->left_out_.fetch_add(1);
        return;
    }
    ServerNews *notification = broker->MakeNews(event, json);
    if (notification == nullptr) {
        if (event == EPB_SERVER_LOG) {
            broker->pending_.fetch_sub(1);
        }
        broker->left_out_.fetch_add(1);
        return;
    }
    broker->notifier_->Post(notification);
}

static const char *
EventName(enum epb_server_event event)
{
    switch (event) {
    case EPB_SERVER_LOG:
        return "log";
    case EPB_SERVER_HEARTBEAT:
        return "heartbeat";
    case EPB_SERVER_IDLE:
        return "idle";
    case EPB_SERVER_STOPPED:
        return "stopped";
    }
    return "log";
}

void
Broker::OnNotify(Napi::Env env, Notification *notification)
{
    Napi::HandleScope scope(env);
    Napi::Object self = Value();
    const ServerNews *server_notification = static_cast<ServerNews *>(notification);

    if (server_notification->event == EPB_SERVER_STOPPED) {
        End();
        std::vector<Napi::FunctionReference> callbacks;
        callbacks.swap(on_stopped_);
        for (auto &callback : callbacks) {
            callback.Call(self, {});
            ReportThrown(env);
        }
        return;
    }
    if (server_notification->event == EPB_SERVER_LOG) {
        pending_.fetch_sub(1);
    }
    Napi::String json = server_notification->json == nullptr
                            ? Napi::String::New(env, "{}")
                            : Napi::String::New(env, server_notification->json.get(),
                                                server_notification->json_bytes);
    Napi::Value found = self.Get(kOnEvent);
    /* While the environment ends, its objects can't be read. */
    if (!found.IsFunction()) {
        return;
    }
    Napi::Function on_event = found.As<Napi::Function>();
    on_event.Call(self,
                  {Napi::String::New(env, EventName(server_notification->event)), json});
    uint64_t left_out = left_out_.exchange(0);
    if (left_out == 0) {
        return;
    }
    ReportThrown(env);
    char line[128];
    (void)snprintf(
        line, sizeof(line),
        "{\"level\":\"warn\",\"event\":\"log_lines_left_out\",\"count\":%" PRIu64 "}",
        left_out);
    on_event.Call(self, {Napi::String::New(env, "log"), Napi::String::New(env, line)});
}

void
Broker::ThrowStart(Napi::Env env, enum epb_status status, int os_error)
{
    if (os_error == 0) {
        std::string message =
            options_.engine.require_mlock
                ? "Memory can't be locked although requireMlock asks for it, or is "
                  "out: raise the limit (ulimit -l)."
                : epb_status_message(status);
        ThrowError(env, epb_status_name(status), message);
        return;
    }
    std::string message =
        std::string("The broker can't listen: ") + epb_os_error_message(os_error);
    if (has_pipe_id_ || has_path_) {
        message += " (" + (has_path_ ? path_option_ : pipe_id_) + ")";
    }
    ThrowError(env, epb_os_error_name(os_error), message);
}

Napi::Value
Broker::Start(const Napi::CallbackInfo &info)
{
    Napi::Env env = info.Env();

    if (server_ != nullptr) {
        ThrowError(env, "internal", "The broker has been started already");
        return env.Undefined();
    }
    epb_bytes secret = {nullptr, 0};
    if (!secret_.IsEmpty() && !ToBytes(env, secret_.Value(), "secret", &secret)) {
        return env.Undefined();
    }
    idle_news_.reset(new ServerNews);
    idle_news_->event = EPB_SERVER_IDLE;
    stopped_news_.reset(new ServerNews);
    stopped_news_->event = EPB_SERVER_STOPPED;
    /* Reserve now, so that stopping needs no memory. */
    on_stopped_.reserve(1);
    notifier_ = JsNotifier::Open(env, "epb.broker", this);
    if (notifier_ == nullptr) {
        return env.Undefined();
    }
    options_.secret = secret;
    options_.path = has_path_ ? path_option_.c_str() : nullptr;
    options_.pipe_id = has_pipe_id_ ? pipe_id_.c_str() : nullptr;
    options_.on_event = OnEvent;
    options_.event_context = this;
    int os_error = 0;
    enum epb_status status = epb_server_start(&options_, &server_, &os_error);
    if (status != EPB_OK) {
        End();
        ThrowStart(env, status, os_error);
        return env.Undefined();
    }
    (void)Ref();
    return Napi::String::New(env, epb_server_path(server_));
}

void
Broker::Stop(const Napi::CallbackInfo &info)
{
    Napi::Env env = info.Env();
    uint64_t drain_ms = 0;
    Napi::Function callback;

    if (!ToWhole(env, info[0], "drainMs", &drain_ms) ||
        !ToFunction(env, info[1], "callback", &callback)) {
        return;
    }
    if (server_ == nullptr) {
        ThrowError(env, "internal", "The broker is not running");
        return;
    }
    on_stopped_.push_back(Napi::Persistent(callback));
    epb_server_drain(server_, drain_ms);
}

void
Broker::StopSync(const Napi::CallbackInfo &)
{
    End();
    /* No event will call them. */
    on_stopped_.clear();
}

void
Broker::RefProcess(const Napi::CallbackInfo &)
{
    if (notifier_ != nullptr) {
        notifier_->Ref();
    }
}

void
Broker::UnrefProcess(const Napi::CallbackInfo &)
{
    if (notifier_ != nullptr) {
        notifier_->Unref();
    }
}

Napi::Value
Broker::Path(const Napi::CallbackInfo &info)
{
    if (server_ == nullptr) {
        return info.Env().Null();
    }
    return Napi::String::New(info.Env(), epb_server_path(server_));
}

void
DefineBroker(Napi::Env env, Napi::Object exports)
{
    Broker::Define(env, exports);
}

} // namespace epb
