/*
 * The wake-ups of all Channels of one environment, by one JsNotifier.
 *
 * A thread-safe function keeps the async context in which it was made, and with it all
 * that can be reached from there; one for each connection would keep every test file of a
 * runner that loads this module anew for each. So there is one for a thread, made by the
 * first Channel (see lib/context.js), and it knows the Channels by a list that
 * keeps none of them alive: one that is collected while it waits is closed.
 *
 * A ring is a bit in the Waker: to ring costs no memory, and a second ring before the
 * first was heard nothing at all.
 *
 * `Collect` runs a collection of garbage from the event loop, with no JavaScript below it
 * whose frames would keep alive what is to be collected.
 */
#ifndef EPB_ADDON_WAKE_LIST_H
#define EPB_ADDON_WAKE_LIST_H

#include <atomic>

#include "js_notifier.h"

extern "C" {
#include "base/list.h"
}

namespace epb {

class WakeList;

/* What WakeList wakes. JavaScript thread only, except Post. */
class Waker {
  public:
    enum What : unsigned {
        kReady = 1,
        kDue = 2,
        kTurn = 4,
        kWanted = 8 /* another of its session waits for what it may have */
    };

    Waker();
    /* From any thread, between Join and Leave. */
    void Post(What what);
    /* `what`: bits of What. */
    virtual void OnWake(Napi::Env, unsigned) {}
    /* The environment ends: stop whatever rings. */
    virtual void OnTeardown() {}

  protected:
    ~Waker();
    /* False with a pending exception. */
    bool Join(Napi::Env env);
    /* Nothing rings any more. */
    void Leave();
    WakeList *wake_list() const { return wake_list_; }
    /* Whether it keeps the process alive. */
    void SetKeeping(bool keeping);

  private:
    friend class WakeList;
    struct Node {
        struct epb_list list;
        Waker *waker;
    };

    Node node_;
    std::atomic<unsigned> posted_{0};
    WakeList *wake_list_ = nullptr;
    bool keeping_ = false;
};

class WakeList : public JsNotifier::Owner {
  public:
    /* Of this environment, made if need be; NULL with a pending exception. */
    static WakeList *Of(Napi::Env env);
    /* Calls `collect` soon, once; false: another is to be called already. */
    bool Collect(Napi::Function collect);

    void OnNotify(Napi::Env env, Notification *notification) override;
    void OnTeardown() override;

  private:
    friend class Waker;
    WakeList();
    void CountKeeper(bool keeping);
    Waker *FirstRung(unsigned *what);

    struct epb_list wakers_;
    JsNotifier *notifier_ = nullptr; /* NULL: the environment ends */
    unsigned keepers_ = 0;
    Napi::FunctionReference collect_;
};

} // namespace epb

#endif
