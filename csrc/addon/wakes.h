/*
 * The wake-ups of all Channels of one environment, by one Bell.
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
#ifndef EPB_ADDON_WAKES_H
#define EPB_ADDON_WAKES_H

#include <atomic>

#include "bell.h"

extern "C" {
#include "base/list.h"
}

namespace epb {

class Wakes;

/* What Wakes wakes. JavaScript thread only, except Ring. */
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
    void Ring(What what);
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
    Wakes *wakes() const { return wakes_; }
    /* Whether it keeps the process alive. */
    void SetKeeping(bool keeping);

  private:
    friend class Wakes;
    struct Node {
        struct epb_list list;
        Waker *waker;
    };

    Node node_;
    std::atomic<unsigned> rung_{0};
    Wakes *wakes_ = nullptr;
    bool keeping_ = false;
};

class Wakes : public Bell::Owner {
  public:
    /* Of this environment, made if need be; NULL with a pending exception. */
    static Wakes *Of(Napi::Env env);
    /* Calls `collect` soon, once; false: another is to be called already. */
    bool Collect(Napi::Function collect);

    void OnRing(Napi::Env env, News *news) override;
    void OnTeardown() override;

  private:
    friend class Waker;
    Wakes();
    void CountKeeper(bool keeping);
    Waker *FirstRung(unsigned *what);

    struct epb_list wakers_;
    Bell *bell_ = nullptr; /* NULL: the environment ends */
    unsigned keepers_ = 0;
    Napi::FunctionReference collect_;
};

} // namespace epb

#endif
