/*
 * class Channel: the client's connection (io/client.h) on the thread of its JavaScript.
 *
 * `exchange` is the hot path: one crossing sends a batch of requests and takes the
 * replies that have come. Only when there are none is the connection armed, and `onReady`
 * called when there are.
 *
 * `keep` has a frame sent every so often from native code, even while the thread of
 * JavaScript is busy; it ends with the connection.
 *
 * A Channel that is armed stays alive, and keeps the process alive if it is ref'd; one
 * that is not armed can be collected. onReady is kept as a property of the object itself,
 * so that a closure over the Channel makes no cycle that can't be collected.
 */
#include "addon.h"

#include "bell.h"
#include "convert.h"
#include "safe.h"

extern "C" {
#include "io/client.h"
#include "io/oserror.h"
}

namespace epb {

class Channel : public Napi::ObjectWrap<Channel>,
                public Bell::Owner,
                public Spared<Channel> {
  public:
    static void Define(Napi::Env env, Napi::Object exports);
    explicit Channel(const Napi::CallbackInfo &info);
    ~Channel() override;

    void OnRing(Napi::Env env, News *news) override;
    void OnTeardown() override;

  private:
    template <auto method> Napi::Value Safe(const Napi::CallbackInfo &info)
    {
        return CaughtValue(info.Env(), [&] { return (this->*method)(info); });
    }

    void ReadArguments(const Napi::CallbackInfo &info);
    Napi::Value Connect(const Napi::CallbackInfo &info);
    Napi::Value Exchange(const Napi::CallbackInfo &info);
    Napi::Value Wait(const Napi::CallbackInfo &info);
    void Arm(const Napi::CallbackInfo &info);
    void RefWait(const Napi::CallbackInfo &info);
    void UnrefWait(const Napi::CallbackInfo &info);
    void Close(const Napi::CallbackInfo &info);
    Napi::Value Keep(const Napi::CallbackInfo &info);
    void Unkeep(const Napi::CallbackInfo &info);
    Napi::Value KeptAgo(const Napi::CallbackInfo &info);
    Napi::Value Open(const Napi::CallbackInfo &info);
    Napi::Value Unsent(const Napi::CallbackInfo &info);
    Napi::Value Needed(const Napi::CallbackInfo &info);
    Napi::Value Errno(const Napi::CallbackInfo &info);

    static void OnReady(void *context);
    void SetArmed(bool armed);
    void KeepProcess();
    void CloseAll();

    epb_client *client_ = nullptr;
    Bell *bell_ = nullptr; /* from the first arming on */
    bool armed_ = false;
    bool wanted_ = true;  /* what ref() and unref() said last */
    bool keeping_ = true; /* what the bell was told last; it starts ref'd */
    bool held_ = false;   /* kept from being collected: somebody waits for an answer */
    size_t needed_bytes_ = 0;
    int os_error_ = 0;
};

static constexpr char kOnReady[] = "onReady";

void
Channel::Define(Napi::Env env, Napi::Object exports)
{
    exports.Set(
        "Channel",
        DefineClass(env, "Channel",
                    {InstanceMethod<&Channel::Safe<&Channel::Connect>>("connect"),
                     InstanceMethod<&Channel::Safe<&Channel::Exchange>>("exchange"),
                     InstanceMethod<&Channel::Safe<&Channel::Wait>>("wait"),
                     InstanceMethod<&Channel::Safe<&Channel::Arm>>("arm"),
                     InstanceMethod<&Channel::Safe<&Channel::RefWait>>("ref"),
                     InstanceMethod<&Channel::Safe<&Channel::UnrefWait>>("unref"),
                     InstanceMethod<&Channel::Safe<&Channel::Close>>("close"),
                     InstanceMethod<&Channel::Safe<&Channel::Keep>>("keep"),
                     InstanceMethod<&Channel::Safe<&Channel::Unkeep>>("unkeep"),
                     InstanceMethod<&Channel::Safe<&Channel::KeptAgo>>("keptAgo"),
                     InstanceAccessor<&Channel::Open>("open"),
                     InstanceAccessor<&Channel::Unsent>("unsent"),
                     InstanceAccessor<&Channel::Needed>("needed"),
                     InstanceAccessor<&Channel::Errno>("errno")}));
}

Channel::Channel(const Napi::CallbackInfo &info) : Napi::ObjectWrap<Channel>(info)
{
    if (InSpare()) {
        ThrowFailure(info.Env());
        return;
    }
    /* The thread is being terminated: it could not be tied to its object any more. */
    if (IsEmpty())
        return;
    (void)Caught(info.Env(), [&] { ReadArguments(info); });
}

void
Channel::ReadArguments(const Napi::CallbackInfo &info)
{
    Napi::Env env = info.Env();
    std::string path;
    epb_bytes secret = {nullptr, 0};
    Napi::Function on_ready;

    if (!ToText(env, info[0], "path", &path) ||
        !ToBytes(env, info[1], "secret", &secret) ||
        !ToFunction(env, info[2], "onReady", &on_ready)) {
        return;
    }
    Value().DefineProperty(
        Napi::PropertyDescriptor::Value(kOnReady, on_ready, napi_default));
    client_ = epb_client_new(path.c_str(), secret, OnReady, this);
    if (client_ == nullptr) {
        MakeError(env, "internal", epb_status_message(EPB_INTERNAL))
            .ThrowAsJavaScriptException();
    }
}

Channel::~Channel()
{
    CloseAll();
    epb_client_free(client_);
}

/* Nobody rings once the client has closed. */
void
Channel::CloseAll()
{
    if (client_ != nullptr)
        epb_client_close(client_);
    if (bell_ != nullptr)
        bell_->Close();
    bell_ = nullptr;
    SetArmed(false);
}

void
Channel::OnTeardown()
{
    if (client_ != nullptr)
        epb_client_close(client_);
    bell_ = nullptr;
    SetArmed(false);
}

/* On the thread that waits. */
void
Channel::OnReady(void *context)
{
    static_cast<Channel *>(context)->bell_->Ring(nullptr);
}

void
Channel::OnRing(Napi::Env env, News *)
{
    if (!armed_)
        return;
    Napi::HandleScope scope(env);
    Napi::Object self = Value();
    SetArmed(false);
    /* Armed for events only, it may have been collected. */
    if (self.IsEmpty())
        return;
    Napi::Value on_ready = self.Get(kOnReady);
    if (on_ready.IsFunction())
        on_ready.As<Napi::Function>().Call(self, {});
}

void
Channel::SetArmed(bool armed)
{
    armed_ = armed;
    KeepProcess();
}

void
Channel::KeepProcess()
{
    bool keep = armed_ && wanted_;

    if (keep != held_) {
        held_ = keep;
        if (keep) {
            (void)Ref();
        } else {
            (void)Unref();
        }
    }
    if (bell_ == nullptr || keep == keeping_)
        return;
    keeping_ = keep;
    if (keep) {
        bell_->Ref();
    } else {
        bell_->Unref();
    }
}

Napi::Value
Channel::Connect(const Napi::CallbackInfo &info)
{
    CloseAll();
    enum epb_status status = epb_client_connect(client_, &os_error_);

    return Napi::Number::New(info.Env(), status);
}

Napi::Value
Channel::Exchange(const Napi::CallbackInfo &info)
{
    Napi::Env env = info.Env();
    epb_bytes out = {nullptr, 0};
    epb_bytes into = {nullptr, 0};
    uint64_t out_bytes = 0;
    struct epb_exchange exchange = {};

    if (!ToBytes(env, info[0], "out", &out) ||
        !ToWhole(env, info[1], "outSize", &out_bytes) ||
        !ToBytes(env, info[2], "into", &into) ||
        !ToWhole(env, info[3], "spinUs", &exchange.look_us)) {
        return env.Undefined();
    }
    if (out_bytes > out.size_bytes) {
        ThrowType(env, "outSize must not exceed the size of out");
        return env.Undefined();
    }
    exchange.out = {out.data, static_cast<size_t>(out_bytes)};
    exchange.into = const_cast<uint8_t *>(into.data);
    exchange.into_bytes = into.size_bytes;
    enum epb_status status = epb_client_exchange(client_, &exchange);
    needed_bytes_ = exchange.needed_bytes;
    if (status == EPB_OK) {
        return Napi::Number::New(env, static_cast<double>(exchange.received_bytes));
    }
    CloseAll();
    return Napi::Number::New(env, -static_cast<int>(status));
}

Napi::Value
Channel::Wait(const Napi::CallbackInfo &info)
{
    uint64_t timeout_ms = 0;

    if (!ToWhole(info.Env(), info[0], "timeoutMs", &timeout_ms))
        return info.Env().Undefined();
    return Napi::Boolean::New(info.Env(), epb_client_wait(client_, timeout_ms));
}

void
Channel::Arm(const Napi::CallbackInfo &info)
{
    if (!epb_client_connected(client_))
        return;
    if (bell_ == nullptr) {
        bell_ = Bell::Open(info.Env(), "epb.channel", this);
        if (bell_ == nullptr)
            return;
        keeping_ = true;
    }
    SetArmed(true);
    if (epb_client_arm(client_) == EPB_OK)
        return;
    SetArmed(false);
    MakeError(info.Env(), "internal", "The system can't wait for the broker's answer")
        .ThrowAsJavaScriptException();
}

void
Channel::RefWait(const Napi::CallbackInfo &)
{
    wanted_ = true;
    KeepProcess();
}

void
Channel::UnrefWait(const Napi::CallbackInfo &)
{
    wanted_ = false;
    KeepProcess();
}

void
Channel::Close(const Napi::CallbackInfo &)
{
    CloseAll();
}

/* keep(frame, intervalMs) -> id; 0 when there is no connection to keep anything on. */
Napi::Value
Channel::Keep(const Napi::CallbackInfo &info)
{
    Napi::Env env = info.Env();
    epb_bytes frame = {nullptr, 0};
    uint64_t interval_ms = 0;
    uint64_t id = 0;

    if (!ToBytes(env, info[0], "frame", &frame) ||
        !ToWhole(env, info[1], "intervalMs", &interval_ms)) {
        return env.Undefined();
    }
    switch (epb_client_keep(client_, frame, interval_ms, &id)) {
    case EPB_OK:
        return Napi::Number::New(env, static_cast<double>(id));
    case EPB_BROKER_GONE:
        return Napi::Number::New(env, 0);
    case EPB_INVALID_REQUEST:
        ThrowType(env, "frame must be one whole frame, and intervalMs at least 1");
        return env.Undefined();
    default:
        MakeError(env, "internal", epb_status_message(EPB_INTERNAL))
            .ThrowAsJavaScriptException();
        return env.Undefined();
    }
}

void
Channel::Unkeep(const Napi::CallbackInfo &info)
{
    uint64_t id = 0;

    if (ToWhole(info.Env(), info[0], "id", &id))
        epb_client_unkeep(client_, id);
}

/* keptAgo(id) -> ms; null when the keep has ended. */
Napi::Value
Channel::KeptAgo(const Napi::CallbackInfo &info)
{
    Napi::Env env = info.Env();
    uint64_t id = 0;
    uint64_t ago_ms = 0;

    if (!ToWhole(env, info[0], "id", &id))
        return env.Undefined();
    if (!epb_client_kept_ago(client_, id, &ago_ms))
        return env.Null();
    return Napi::Number::New(env, static_cast<double>(ago_ms));
}

Napi::Value
Channel::Open(const Napi::CallbackInfo &info)
{
    return Napi::Boolean::New(info.Env(), epb_client_open(client_));
}

Napi::Value
Channel::Unsent(const Napi::CallbackInfo &info)
{
    return Napi::Number::New(info.Env(), static_cast<double>(epb_client_unsent(client_)));
}

Napi::Value
Channel::Needed(const Napi::CallbackInfo &info)
{
    return Napi::Number::New(info.Env(), static_cast<double>(needed_bytes_));
}

Napi::Value
Channel::Errno(const Napi::CallbackInfo &info)
{
    if (os_error_ == 0)
        return info.Env().Null();
    return Napi::String::New(info.Env(), epb_os_error_name(os_error_));
}

void
DefineChannel(Napi::Env env, Napi::Object exports)
{
    Channel::Define(env, exports);
}

} // namespace epb
