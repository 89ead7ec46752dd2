/*
 * Notifies a JavaScript thread from our threads: a thread-safe function and its lifetime.
 *
 * A JsNotifier is opened and closed on the JavaScript thread; other threads post to it.
 * The owner must stop those threads from posting before it closes the notifier (by
 * joining or unregistering them). Notifications in flight are then dropped. The object
 * frees itself when Node finalizes the thread-safe function.
 *
 * An environment may end at any time (a worker that is terminated, process.exit). Node
 * then runs clean-up hooks, the youngest first, and destroys thread-safe functions in
 * hooks as well. Open installs the hook that stops our threads after it makes the
 * thread-safe function, so the hook runs before the function is destroyed.
 */
#ifndef EPB_ADDON_JS_NOTIFIER_H
#define EPB_ADDON_JS_NOTIFIER_H

#include <memory>

#include "napi_env.h"

namespace epb {

/* The payload of a post. It is deleted after delivery, or when it can't be delivered. */
struct Notification {
    virtual ~Notification() = default;
};

class JsNotifier {
  public:
    class Owner {
      public:
        /* On the JavaScript thread, once for each post, in order. `notification` may be
         * NULL. */
        virtual void OnNotify(Napi::Env env, Notification *notification) = 0;
        /* The environment ends: stop all threads that post. The notifier is closed
         * afterwards. */
        virtual void OnTeardown() = 0;

      protected:
        ~Owner() = default;
    };

    /* NULL with a pending JavaScript exception when Node fails. The notifier keeps the
     * process alive until Unref. Tools that list what keeps a process alive (async_hooks)
     * call `hasRef()` of its resource, as with Node's own handles. */
    static JsNotifier *Open(Napi::Env env, const char *name, Owner *owner);
    /* From any thread; takes ownership. */
    void Post(Notification *take_notification);
    void Ref();
    void Unref();
    /* Invalidates the pointer. */
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
    std::shared_ptr<bool> refd_; /* read by the resource's hasRef(), which may outlive
                                  * this object */
};

} // namespace epb

#endif
