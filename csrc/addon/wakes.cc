#include "wakes.h"

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
    wakes_ = Wakes::Of(env);
    if (wakes_ == nullptr) {
        return false;
    }
    epb_list_append(&wakes_->wakers_, &node_.list);
    return true;
}

void
Waker::Leave()
{
    if (wakes_ == nullptr) {
        return;
    }
    SetKeeping(false);
    epb_list_remove(&node_.list);
    wakes_ = nullptr;
}

void
Waker::Ring(What what)
{
    if (wakes_ != nullptr && rung_.fetch_or(what) == 0) {
        wakes_->bell_->Ring(nullptr);
    }
}

void
Waker::SetKeeping(bool keeping)
{
    if (keeping == keeping_ || wakes_ == nullptr) {
        return;
    }
    keeping_ = keeping;
    wakes_->CountKeeper(keeping);
}

Wakes::Wakes()
{
    epb_list_init(&wakers_);
}

Wakes *
Wakes::Of(Napi::Env env)
{
    Wakes *wakes = env.GetInstanceData<Wakes>();

    if (wakes == nullptr) {
        wakes = new Wakes;
        /* Deleted with the environment, after OnTeardown. */
        env.SetInstanceData(wakes);
    }
    if (wakes->bell_ == nullptr) {
        wakes->bell_ = Bell::Open(env, "epb.wakes", wakes);
        if (wakes->bell_ == nullptr) {
            return nullptr;
        }
        wakes->bell_->Unref();
    }
    return wakes;
}

void
Wakes::CountKeeper(bool keeping)
{
    keepers_ += keeping ? 1 : -1U;
    if (bell_ == nullptr) {
        return;
    }
    if (keeping && keepers_ == 1) {
        bell_->Ref();
    } else if (!keeping && keepers_ == 0) {
        bell_->Unref();
    }
}

bool
Wakes::Collect(Napi::Function collect)
{
    if (!collect_.IsEmpty() || bell_ == nullptr) {
        return false;
    }
    collect_ = Napi::Persistent(collect);
    bell_->Ring(nullptr);
    return true;
}

Waker *
Wakes::FirstRung(unsigned *what)
{
    for (struct epb_list *node = wakers_.next; node != &wakers_; node = node->next) {
        Waker *waker = EPB_LIST_ITEM(node, Waker::Node, list)->waker;
        *what = waker->rung_.exchange(0);
        if (*what != 0) {
            return waker;
        }
    }
    return nullptr;
}

/* From the first again after each, since a call may end any of them. What was called is
 * kept alive by the engine until this ring is over: garbage is collected in another. */
void
Wakes::OnRing(Napi::Env env, News *)
{
    unsigned what = 0;
    bool woken = false;

    while (bell_ != nullptr) {
        Waker *waker = FirstRung(&what);
        if (waker == nullptr) {
            break;
        }
        Napi::HandleScope scope(env);
        woken = true;
        waker->OnWake(env, what);
        ReportThrown(env);
    }
    if (collect_.IsEmpty() || bell_ == nullptr) {
        return;
    }
    if (woken) {
        bell_->Ring(nullptr);
        return;
    }
    Napi::HandleScope scope(env);
    Napi::FunctionReference collect = std::move(collect_);
    (void)collect.Call({});
}

void
Wakes::OnTeardown()
{
    /* First, so that no connection waits for what it held to be the session's. */
    epb_holds_end_thread();
    while (!epb_list_empty(&wakers_)) {
        Waker *waker = EPB_LIST_ITEM(wakers_.next, Waker::Node, list)->waker;
        waker->OnTeardown();
        waker->Leave();
    }
    /* No Waker rings it any more. */
    bell_ = nullptr;
    collect_.Reset();
}

} // namespace epb
