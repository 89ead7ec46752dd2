/*
 * A way from our threads to one of JavaScript's: a thread-safe function and its life.
 *
 * A JsNotifier is made and closed on the JavaScript thread, and rung from others. Its
 * maker sees to it that nobody rings it any more when it closes it (by joining or
 * unregistering that thread first). Notification that is under way then is dropped. The
 * object frees itself once Node has let go of it.
 *
 * The end of an environment (a worker that is terminated, process.exit) may come at any
 * time. Node then runs clean-up hooks, the youngest first, and destroys thread-safe
 * functions in hooks of their own; so the hook that stops our threads is installed by
 * Open, after the thread-safe function, and runs before it goes.
 */
#ifndef EPB_ADDON_JS_NOTIFIER_H
#define EPB_ADDON_JS_NOTIFIER_H

#include <memory>

#include "napi_env.h"

namespace epb {

/* What is rung: deleted once it has been heard, or nobody will hear it. */
struct Notification {
    virtual ~Notification() = default;
};

class JsNotifier {
  public:
    class Owner {
      public:
        /* On the JavaScript thread, once for each ring, in order. `news` may be NULL. */
        virtual void OnNotify(Napi::Env env, Notification *notification) = 0;
        /* The environment ends: stop whatever rings. It is closed afterwards. */
        virtual void OnTeardown() = 0;

      protected:
        ~Owner() = default;
    };

    /* NULL with a pending JavaScript exception when Node can't. It keeps the process
     * alive until Unref. Those who list what keeps a process alive (async_hooks) ask its
     * resource: `hasRef()`, as of Node's own handles. */
    static JsNotifier *Open(Napi::Env env, const char *name, Owner *owner);
    /* From any thread; takes the news. */
    void Post(Notification *take_notification);
    void Ref();
    void Unref();
    /* The pointer is not to be used afterwards. */
    void Close();

  private:
    explicit JsNotifier(Napi::Env env, Owner *owner) : env_(env), owner_(owner) {}
    static Napi::Object MakeResource(Napi::Env env, std::shared_ptr<bool> refd);
    static void CallJs(napi_env env, napi_value callback, void *context, void *data);
    static void Finalize(napi_env env, void *data, void *context);
    static void Teardown(void *data);

    napi_env env_;
    Owner *owner_; /* NULL: closed. JavaScript thread only. */
    napi_threadsafe_function function_ = nullptr;
    std::shared_ptr<bool> refd_; /* its resource tells that, which may outlive it */
};

} // namespace epb

#endif
