/*
 * class Channel: the client's connection (client/client.h) on its JavaScript thread.
 *
 * `exchange` is the hot path: one call sends a batch of requests and returns the replies
 * that have arrived. Only when there are no replies is the connection armed; `onWake` is
 * called when some arrive.
 *
 * `startRenewal` makes native code send a frame at an interval over a separate
 * connection, independent of how busy the JavaScript thread is. The renewal ends with
 * this connection.
 *
 * `hold` gives a lease to the thread: it lasts until `drop`, or until the environment
 * ends, whatever happens to the Channel.
 *
 * All Channels of a thread to a broker are one session at the broker, however many copies
 * of the JavaScript made them; `session` is its number. Everything else that a Channel
 * took at the broker ends with the Channel, by `close` or by collection.
 *
 * `alarm` is the clock of the connection's JavaScript, and `turn` schedules a call in the
 * next iteration of the event loop: programs under test replace Node's own timers.
 *
 * Nothing here keeps a Channel alive. A ref'd Channel keeps the process alive while it is
 * armed; so does any Channel with a pending turn or an alarm with `keeps`. A Channel that
 * is collected meanwhile is closed. onWake is a property of the object itself, so that a
 * closure over the Channel makes no uncollectable cycle.
 */
#include "addon.h"

#include "convert.h"
#include "safe.h"
#include "wake_list.h"

extern "C" {
#include "client/alarm.h"
#include "client/client.h"
#include "os/oserror.h"
}

namespace epb {

class Channel : public Napi::ObjectWrap<Channel>,
                public Waker,
                public WithFallbackStorage<Channel> {
  public:
    static void Define(Napi::Env env, Napi::Object exports);
    explicit Channel(const Napi::CallbackInfo &info);
    ~Channel() override;

    void OnWake(Napi::Env env, unsigned what) override;
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
    Napi::Value SetAlarm(const Napi::CallbackInfo &info);
    void Turn(const Napi::CallbackInfo &info);
    void RefWait(const Napi::CallbackInfo &info);
    void UnrefWait(const Napi::CallbackInfo &info);
    void Close(const Napi::CallbackInfo &info);
    Napi::Value StartRenewal(const Napi::CallbackInfo &info);
    void StopRenewal(const Napi::CallbackInfo &info);
    Napi::Value MsSinceRenewal(const Napi::CallbackInfo &info);
    Napi::Value RenewalErrno(const Napi::CallbackInfo &info);
    Napi::Value Hold(const Napi::CallbackInfo &info);
    Napi::Value Holds(const Napi::CallbackInfo &info);
    Napi::Value Drop(const Napi::CallbackInfo &info);
    Napi::Value Open(const Napi::CallbackInfo &info);
    void WakeSiblings(const Napi::CallbackInfo &info);
    Napi::Value Siblings(const Napi::CallbackInfo &info);
    Napi::Value Session(const Napi::CallbackInfo &info);
    Napi::Value Unsent(const Napi::CallbackInfo &info);
    Napi::Value Needed(const Napi::CallbackInfo &info);
    Napi::Value Errno(const Napi::CallbackInfo &info);

    static void OnReady(void *context);
    static void OnDue(void *context);
    void KeepProcess();
    void CloseAll();

    epb_client *client_ = nullptr;
    epb_alarm alarm_ = {};
    bool armed_ = false;
    bool wanted_ = true;       /* the last call was ref(), not unref() */
    bool turning_ = false;     /* a turn is pending */
    bool alarm_keeps_ = false; /* an alarm is pending that keeps the process alive */
    size_t needed_bytes_ = 0;
    int os_error_ = 0;
};

static constexpr char kOnWake[] = "onWake";

void
Channel::Define(Napi::Env env, Napi::Object exports)
{
    exports.Set(
        "Channel",
        DefineClass(
            env, "Channel",
            {InstanceMethod<&Channel::Safe<&Channel::Connect>>("connect"),
             InstanceMethod<&Channel::Safe<&Channel::Exchange>>("exchange"),
             InstanceMethod<&Channel::Safe<&Channel::Wait>>("wait"),
             InstanceMethod<&Channel::Safe<&Channel::Arm>>("arm"),
             InstanceMethod<&Channel::Safe<&Channel::SetAlarm>>("alarm"),
             InstanceMethod<&Channel::Safe<&Channel::Turn>>("turn"),
             InstanceMethod<&Channel::Safe<&Channel::RefWait>>("ref"),
             InstanceMethod<&Channel::Safe<&Channel::UnrefWait>>("unref"),
             InstanceMethod<&Channel::Safe<&Channel::Close>>("close"),
             InstanceMethod<&Channel::Safe<&Channel::StartRenewal>>("startRenewal"),
             InstanceMethod<&Channel::Safe<&Channel::StopRenewal>>("stopRenewal"),
             InstanceMethod<&Channel::Safe<&Channel::MsSinceRenewal>>("msSinceRenewal"),
             InstanceMethod<&Channel::Safe<&Channel::Hold>>("hold"),
             InstanceMethod<&Channel::Safe<&Channel::Holds>>("holds"),
             InstanceMethod<&Channel::Safe<&Channel::Drop>>("drop"),
             InstanceAccessor<&Channel::Open>("open"),
             InstanceMethod<&Channel::Safe<&Channel::WakeSiblings>>("wakeSiblings"),
             InstanceAccessor<&Channel::Siblings>("siblings"),
             InstanceAccessor<&Channel::Session>("session"),
             InstanceAccessor<&Channel::Unsent>("unsent"),
             InstanceAccessor<&Channel::Needed>("needed"),
             InstanceAccessor<&Channel::Errno>("errno"),
             InstanceAccessor<&Channel::RenewalErrno>("renewalErrno")}));
}

Channel::Channel(const Napi::CallbackInfo &info) : Napi::ObjectWrap<Channel>(info)
{
    epb_alarm_init(&alarm_, OnDue, this);
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
Channel::ReadArguments(const Napi::CallbackInfo &info)
{
    Napi::Env env = info.Env();
    std::string path;
    epb_bytes secret = {nullptr, 0};
    Napi::Function on_wake;

    if (!ToText(env, info[0], "path", &path) ||
        !ToBytes(env, info[1], "secret", &secret) ||
        !ToFunction(env, info[2], "onWake", &on_wake)) {
        return;
    }
    Value().DefineProperty(
        Napi::PropertyDescriptor::Value(kOnWake, on_wake, napi_default));
    client_ = epb_client_new(path.c_str(), secret, OnReady, this);
    if (client_ == nullptr || epb_client_share(client_, 0) != EPB_OK) {
        ThrowError(env, "internal", epb_status_message(EPB_INTERNAL));
        return;
    }
    (void)Join(env);
}

Channel::~Channel()
{
    Channel::OnTeardown();
    Leave();
    epb_client_free(client_);
}

/* No further wake-ups come from this connection; those already posted are still
 * delivered. */
void
Channel::CloseAll()
{
    if (client_ != nullptr) {
        epb_client_close(client_);
    }
    armed_ = false;
    KeepProcess();
}

void
Channel::OnTeardown()
{
    if (client_ == nullptr) {
        return;
    }
    epb_client_close(client_);
    epb_alarm_clear(&alarm_);
}

/* On the waiter's thread. */
void
Channel::OnReady(void *context)
{
    static_cast<Channel *>(context)->Post(kReady);
}

/* On the alarms' thread. */
void
Channel::OnDue(void *context)
{
    static_cast<Channel *>(context)->Post(kDue);
}

void
Channel::OnWake(Napi::Env, unsigned what)
{
    Napi::Object self = Value();

    if (!armed_) {
        what &= ~static_cast<unsigned>(kReady);
    }
    if (what & kReady) {
        armed_ = false;
    }
    if (what & kDue) {
        alarm_keeps_ = false;
    }
    if (what & kTurn) {
        turning_ = false;
    }
    KeepProcess();
    /* Nothing keeps the object alive: it may be about to be freed. */
    if (self.IsEmpty() || what == 0) {
        return;
    }
    Napi::Value on_wake = self.Get(kOnWake);
    if (on_wake.IsFunction()) {
        (void)on_wake.As<Napi::Function>().Call(self, {Napi::Number::New(Env(), what)});
    }
}

void
Channel::KeepProcess()
{
    SetKeeping((armed_ && wanted_) || turning_ || alarm_keeps_);
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
        !ToWhole(env, info[3], "spinUs", &exchange.spin_us)) {
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

    if (!ToWhole(info.Env(), info[0], "timeoutMs", &timeout_ms)) {
        return info.Env().Undefined();
    }
    return Napi::Boolean::New(info.Env(), epb_client_wait(client_, timeout_ms));
}

void
Channel::Arm(const Napi::CallbackInfo &info)
{
    if (!epb_client_connected(client_)) {
        return;
    }
    armed_ = true;
    enum epb_status status = epb_client_arm(client_);
    armed_ = status == EPB_OK;
    KeepProcess();
    if (armed_) {
        return;
    }
    ThrowError(info.Env(), "internal", "The system can't wait for the broker's answer");
}

/* alarm(inMs, keeps): calls onWake after that time; replaces an earlier alarm. 0 cancels.
 * `keeps`: the process stays alive until then. */
Napi::Value
Channel::SetAlarm(const Napi::CallbackInfo &info)
{
    Napi::Env env = info.Env();
    uint64_t in_ms = 0;
    bool keeps = false;

    if (!ToWhole(env, info[0], "inMs", &in_ms) ||
        !ToBoolean(env, info[1], "keeps", &keeps)) {
        return env.Undefined();
    }
    alarm_keeps_ = false;
    if (in_ms == 0) {
        epb_alarm_clear(&alarm_);
    } else if (epb_alarm_set(&alarm_, in_ms) == EPB_OK) {
        alarm_keeps_ = keeps;
    } else {
        ThrowError(env, "internal", "The system can't wake this process at a time");
    }
    KeepProcess();
    return env.Undefined();
}

/* turn(): calls onWake in the next iteration of the event loop. */
void
Channel::Turn(const Napi::CallbackInfo &)
{
    turning_ = true;
    KeepProcess();
    Post(kTurn);
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

/* startRenewal(frame, intervalMs) -> id; 0 when there is no connection. */
Napi::Value
Channel::StartRenewal(const Napi::CallbackInfo &info)
{
    Napi::Env env = info.Env();
    epb_bytes frame = {nullptr, 0};
    uint64_t interval_ms = 0;
    uint64_t id = 0;

    if (!ToBytes(env, info[0], "frame", &frame) ||
        !ToWhole(env, info[1], "intervalMs", &interval_ms)) {
        return env.Undefined();
    }
    switch (epb_client_start_renewal(client_, frame, interval_ms, &id)) {
    case EPB_OK:
        return Napi::Number::New(env, static_cast<double>(id));
    case EPB_BROKER_GONE:
        return Napi::Number::New(env, 0);
    case EPB_INVALID_REQUEST:
        ThrowType(env, "frame must be one whole frame, and intervalMs at least 1");
        return env.Undefined();
    default:
        ThrowError(env, "internal", epb_status_message(EPB_INTERNAL));
        return env.Undefined();
    }
}

void
Channel::StopRenewal(const Napi::CallbackInfo &info)
{
    uint64_t id = 0;

    if (ToWhole(info.Env(), info[0], "id", &id)) {
        epb_client_stop_renewal(client_, id);
    }
}

/* msSinceRenewal(id) -> ms; null when the renewal has ended. */
Napi::Value
Channel::MsSinceRenewal(const Napi::CallbackInfo &info)
{
    Napi::Env env = info.Env();
    uint64_t id = 0;
    uint64_t ago_ms = 0;

    if (!ToWhole(env, info[0], "id", &id)) {
        return env.Undefined();
    }
    if (!epb_client_ms_since_renewal(client_, id, &ago_ms)) {
        return env.Null();
    }
    return Napi::Number::New(env, static_cast<double>(ago_ms));
}

/* renewalErrno: the name of the last renewal's error; null: it did not fail. */
Napi::Value
Channel::RenewalErrno(const Napi::CallbackInfo &info)
{
    Napi::Env env = info.Env();
    int os_error = epb_client_renewal_error(client_);

    if (os_error == 0) {
        return env.Null();
    }
    return Napi::String::New(env, epb_os_error_name(os_error));
}

/* hold(token, intervalMs, isRenewed) -> whether the session holds the lease; false when
 * there is no connection. */
Napi::Value
Channel::Hold(const Napi::CallbackInfo &info)
{
    Napi::Env env = info.Env();
    uint64_t token = 0;
    uint64_t interval_ms = 0;
    bool is_renewed = false;

    if (!ToWhole(env, info[0], "token", &token) ||
        !ToWhole(env, info[1], "intervalMs", &interval_ms) ||
        !ToBoolean(env, info[2], "isRenewed", &is_renewed)) {
        return env.Undefined();
    }
    switch (epb_client_hold(client_, token, interval_ms, is_renewed)) {
    case EPB_OK:
        return Napi::Boolean::New(env, true);
    case EPB_BROKER_GONE:
        return Napi::Boolean::New(env, false);
    case EPB_INVALID_REQUEST:
        ThrowType(env, "intervalMs must be at least 1");
        return env.Undefined();
    default:
        ThrowError(env, "internal", epb_status_message(EPB_INTERNAL));
        return env.Undefined();
    }
}

/* holds(token) -> whether the session holds the lease. */
Napi::Value
Channel::Holds(const Napi::CallbackInfo &info)
{
    uint64_t token = 0;

    if (!ToWhole(info.Env(), info[0], "token", &token)) {
        return info.Env().Undefined();
    }
    return Napi::Boolean::New(info.Env(), epb_client_holds(client_, token));
}

/* drop(token) -> whether no other claim of this thread on the lease remains. */
Napi::Value
Channel::Drop(const Napi::CallbackInfo &info)
{
    uint64_t token = 0;

    if (!ToWhole(info.Env(), info[0], "token", &token)) {
        return info.Env().Undefined();
    }
    return Napi::Boolean::New(info.Env(), epb_client_drop(client_, token));
}

Napi::Value
Channel::Open(const Napi::CallbackInfo &info)
{
    return Napi::Boolean::New(info.Env(), epb_client_is_open(client_));
}

/* Wakes the siblings with kWanted shortly before a garbage collection. */
void
Channel::WakeSiblings(const Napi::CallbackInfo &)
{
    (void)epb_client_siblings(
        client_, [](void *context) { static_cast<Channel *>(context)->Post(kWanted); });
}

/* The number of other connected Channels of this thread in the same session. */
Napi::Value
Channel::Siblings(const Napi::CallbackInfo &info)
{
    return Napi::Number::New(info.Env(), epb_client_siblings(client_, nullptr));
}

/* The session's number; 0: unknown. */
Napi::Value
Channel::Session(const Napi::CallbackInfo &info)
{
    return Napi::Number::New(info.Env(),
                             static_cast<double>(epb_client_session(client_)));
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
    if (os_error_ == 0) {
        return info.Env().Null();
    }
    return Napi::String::New(info.Env(), epb_os_error_name(os_error_));
}

/* collect(gc) -> whether it will call gc from the event loop (wake_list.h). */
static Napi::Value
Collect(const Napi::CallbackInfo &info)
{
    Napi::Env env = info.Env();
    Napi::Function collect;

    if (!ToFunction(env, info[0], "gc", &collect)) {
        return env.Undefined();
    }
    WakeList *wake_list = WakeList::Of(env);
    return Napi::Boolean::New(env, wake_list != nullptr && wake_list->Collect(collect));
}

void
DefineChannel(Napi::Env env, Napi::Object exports)
{
    Channel::Define(env, exports);
    exports.Set("collect", Napi::Function::New<Safely<Collect>>(env, "collect"));
}

} // namespace epb
