/*
 * Wakes all Channels of one environment through two JsNotifiers (bells).
 *
 * A thread-safe function keeps the async context in which it was made, and everything
 * that can be reached from there. One for each connection would keep every test file
 * alive in a runner that loads this module anew for each file. So each environment has
 * two, made by the first Channel (see lib/async_context.js). The WakeList lists the
 * Channels without keeping them alive; a Channel that is collected while it waits is
 * closed. Each load of the addon is an environment, so a thread has several when several
 * copies of the module are loaded there, and Node notifies them in any order.
 *
 * Two, because Node calls a thread-safe function up to 1,000 times before its event loop
 * continues, if each call causes the next. A wake-up therefore always rings the bell that
 * did not ring last, and timers and other I/O run after at most two calls.
 *
 * A wake-up is a bit in the Waker. Setting it allocates no memory, and a second wake-up
 * before the first is delivered has no effect.
 *
 * `Collect` runs a garbage collection from the event loop. No JavaScript frame below it
 * can then keep garbage alive. A sibling in another environment may learn of it (kWanted)
 * only afterwards; then a later collection frees the sibling.
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

/* An object that WakeList wakes. JavaScript thread only, except Post. */
class Waker {
  public:
    enum What : unsigned {
        kReady = 1,
        kDue = 2,
        kTurn = 4,
        kWanted = 8 /* a sibling waits for a lease that this one may hold */
    };

    Waker();
    /* From any thread, between Join and Leave. */
    void Post(What what);
    /* `what`: bits of What. */
    virtual void OnWake(Napi::Env, unsigned) {}
    /* The environment ends: stop all threads that post. */
    virtual void OnTeardown() {}

  protected:
    ~Waker();
    /* False with a pending exception. */
    bool Join(Napi::Env env);
    /* No thread posts any more. */
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

class WakeList {
  public:
    /* This environment's list, made if need be; NULL with a pending exception. */
    static WakeList *Of(Napi::Env env);
    /* Calls `collect` soon, once; false: a call is pending already. */
    bool Collect(Napi::Function collect);

  private:
    friend class Waker;
    struct Bell : public JsNotifier::Owner {
        void OnNotify(Napi::Env env, Notification *notification) override;
        void OnTeardown() override;

        WakeList *wake_list = nullptr;
        JsNotifier *notifier = nullptr; /* NULL: the environment ends */
    };

    WakeList();
    bool Open(Napi::Env env);
    bool IsOpen() const { return bells_[0].notifier != nullptr; }
    /* From any thread while it is open. */
    void Ring() { next_.load()->notifier->Post(nullptr); }
    void OnRing(Napi::Env env, Bell *bell);
    void OnTeardown();
    void CountKeeper(bool keeping);
    Waker *FirstPosted(unsigned *what);

    struct epb_list wakers_;
    Bell bells_[2];
    std::atomic<Bell *> next_{&bells_[0]};
    unsigned keepers_ = 0;
    Napi::FunctionReference collect_;
};

} // namespace epb

#endif
