/* See wake_list.h. */
#include "wake_list.h"

#include "convert.h"

extern "C" {
#include "client/holds.h"
}

namespace epb {

Waker::Waker()
{
    epb_list_init(&node_.list);
    node_.waker = this;
}

Waker::~Waker()
{
    Leave();
}

bool
Waker::Join(Napi::Env env)
{
    wake_list_ = WakeList::Of(env);
    if (wake_list_ == nullptr) {
        return false;
    }
    epb_list_append(&wake_list_->wakers_, &node_.list);
    return true;
}

void
Waker::Leave()
{
    if (wake_list_ == nullptr) {
        return;
    }
    SetKeeping(false);
    epb_list_remove(&node_.list);
    wake_list_ = nullptr;
}

void
Waker::Post(What what)
{
    if (wake_list_ != nullptr && posted_.fetch_or(what) == 0) {
        wake_list_->Ring();
    }
}

void
Waker::SetKeeping(bool keeping)
{
    if (keeping == keeping_ || wake_list_ == nullptr) {
        return;
    }
    keeping_ = keeping;
    wake_list_->CountKeeper(keeping);
}

WakeList::WakeList()
{
    epb_list_init(&wakers_);
    for (Bell &bell : bells_) {
        bell.wake_list = this;
    }
}

/* False with a pending exception. */
bool
WakeList::Open(Napi::Env env)
{
    for (Bell &bell : bells_) {
        bell.notifier = JsNotifier::Open(env, "epb.wakes", &bell);
        if (bell.notifier == nullptr) {
            break;
        }
        bell.notifier->Unref();
    }
    if (bells_[1].notifier == nullptr && IsOpen()) {
        bells_[0].notifier->Close();
        bells_[0].notifier = nullptr;
    }
    return IsOpen();
}

WakeList *
WakeList::Of(Napi::Env env)
{
    WakeList *wake_list = env.GetInstanceData<WakeList>();

    if (wake_list == nullptr) {
        wake_list = new WakeList;
        /* Node deletes it with the environment, after OnTeardown. */
        env.SetInstanceData(wake_list);
    }
    if (!wake_list->IsOpen() && !wake_list->Open(env)) {
        return nullptr;
    }
    return wake_list;
}

void
WakeList::CountKeeper(bool keeping)
{
    keepers_ += keeping ? 1 : -1U;
    if (!IsOpen()) {
        return;
    }
    /* One bell keeps the event loop alive for both. */
    if (keeping && keepers_ == 1) {
        bells_[0].notifier->Ref();
    } else if (!keeping && keepers_ == 0) {
        bells_[0].notifier->Unref();
    }
}

bool
WakeList::Collect(Napi::Function collect)
{
    if (!collect_.IsEmpty() || !IsOpen()) {
        return false;
    }
    collect_ = Napi::Persistent(collect);
    Ring();
    return true;
}

Waker *
WakeList::FirstPosted(unsigned *what)
{
    for (struct epb_list *node = wakers_.next; node != &wakers_; node = node->next) {
        Waker *waker = EPB_LIST_ITEM(node, Waker::Node, list)->waker;
        *what = waker->posted_.exchange(0);
        if (*what != 0) {
            return waker;
        }
    }
    return nullptr;
}

void
WakeList::Bell::OnNotify(Napi::Env env, Notification *)
{
    wake_list->OnRing(env, this);
}

void
WakeList::Bell::OnTeardown()
{
    wake_list->OnTeardown();
}

/* Starts from the first Waker after each call, since a call may end any of them. V8 keeps
 * a called object alive until this notification is over, so garbage is collected in
 * another one. */
void
WakeList::OnRing(Napi::Env env, Bell *bell)
{
    unsigned what = 0;
    bool woken = false;

    next_ = bell == &bells_[0] ? &bells_[1] : &bells_[0];
    while (IsOpen()) {
        Waker *waker = FirstPosted(&what);
        if (waker == nullptr) {
            break;
        }
        Napi::HandleScope scope(env);
        woken = true;
        waker->OnWake(env, what);
        ReportThrown(env);
    }
    if (collect_.IsEmpty() || !IsOpen()) {
        return;
    }
    if (woken) {
        Ring();
        return;
    }
    Napi::HandleScope scope(env);
    Napi::FunctionReference collect = std::move(collect_);
    (void)collect.Call({});
}

/* Both bells call it. */
void
WakeList::OnTeardown()
{
    if (!IsOpen()) {
        return;
    }
    /* First, so that no connection waits for the session to register its leases. */
    epb_holds_end_thread();
    while (!epb_list_empty(&wakers_)) {
        Waker *waker = EPB_LIST_ITEM(wakers_.next, Waker::Node, list)->waker;
        waker->OnTeardown();
        waker->Leave();
    }
    /* No Waker posts any more. */
    for (Bell &bell : bells_) {
        bell.notifier = nullptr;
    }
    collect_.Reset();
}

} // namespace epb
