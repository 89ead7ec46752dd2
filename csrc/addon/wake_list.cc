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
        wake_list_->notifier_->Post(nullptr);
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
    if (wake_list->notifier_ == nullptr) {
        wake_list->notifier_ = JsNotifier::Open(env, "epb.wakes", wake_list);
        if (wake_list->notifier_ == nullptr) {
            return nullptr;
        }
        wake_list->notifier_->Unref();
    }
    return wake_list;
}

void
WakeList::CountKeeper(bool keeping)
{
    keepers_ += keeping ? 1 : -1U;
    if (notifier_ == nullptr) {
        return;
    }
    if (keeping && keepers_ == 1) {
        notifier_->Ref();
    } else if (!keeping && keepers_ == 0) {
        notifier_->Unref();
    }
}

bool
WakeList::Collect(Napi::Function collect)
{
    if (!collect_.IsEmpty() || notifier_ == nullptr) {
        return false;
    }
    collect_ = Napi::Persistent(collect);
    notifier_->Post(nullptr);
    return true;
}

Waker *
WakeList::FirstRung(unsigned *what)
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

/* Starts from the first Waker after each call, since a call may end any of them. V8 keeps
 * a called object alive until this notification is over, so garbage is collected in
 * another one. */
void
WakeList::OnNotify(Napi::Env env, Notification *)
{
    unsigned what = 0;
    bool woken = false;

    while (notifier_ != nullptr) {
        Waker *waker = FirstRung(&what);
        if (waker == nullptr) {
            break;
        }
        Napi::HandleScope scope(env);
        woken = true;
        waker->OnWake(env, what);
        ReportThrown(env);
    }
    if (collect_.IsEmpty() || notifier_ == nullptr) {
        return;
    }
    if (woken) {
        notifier_->Post(nullptr);
        return;
    }
    Napi::HandleScope scope(env);
    Napi::FunctionReference collect = std::move(collect_);
    (void)collect.Call({});
}

void
WakeList::OnTeardown()
{
    /* First, so that no connection waits for the session to register its leases. */
    epb_holds_end_thread();
    while (!epb_list_empty(&wakers_)) {
        Waker *waker = EPB_LIST_ITEM(wakers_.next, Waker::Node, list)->waker;
        waker->OnTeardown();
        waker->Leave();
    }
    /* No Waker posts any more. */
    notifier_ = nullptr;
    collect_.Reset();
}

} // namespace epb
