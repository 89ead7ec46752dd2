/* See js_notifier.h. */
#include "js_notifier.h"

#include "convert.h"

namespace epb {

Napi::Object
JsNotifier::MakeResource(Napi::Env env, std::shared_ptr<bool> refd)
{
    Napi::Object resource = Napi::Object::New(env);
    auto has_ref = [refd](const Napi::CallbackInfo &info) -> Napi::Value {
        return Napi::Boolean::New(info.Env(), *refd);
    };

    resource.Set("hasRef", Napi::Function::New(env, has_ref, "hasRef"));
    return resource;
}

JsNotifier *
JsNotifier::Open(Napi::Env env, const char *name, Owner *owner)
{
    JsNotifier *notifier = new JsNotifier(env, owner);
    notifier->refd_ = std::make_shared<bool>(true);
    napi_status status = napi_create_threadsafe_function(
        env, nullptr, MakeResource(env, notifier->refd_), Napi::String::New(env, name), 0,
        1, nullptr, Finalize, notifier, CallJs, &notifier->function_);

    if (status != napi_ok) {
        delete notifier;
        ThrowError(env, "internal", "Node can't make a thread-safe function");
        return nullptr;
    }
    if (napi_add_env_cleanup_hook(env, Teardown, notifier) != napi_ok) {
        notifier->owner_ = nullptr;
        (void)napi_release_threadsafe_function(notifier->function_, napi_tsfn_release);
        ThrowError(env, "internal", "Node can't install a clean-up hook");
        return nullptr;
    }
    return notifier;
}

void
JsNotifier::Post(Notification *take_notification)
{
    if (napi_call_threadsafe_function(function_, take_notification,
                                      napi_tsfn_nonblocking) != napi_ok) {
        delete take_notification;
    }
}

void
JsNotifier::Ref()
{
    *refd_ = true;
    (void)napi_ref_threadsafe_function(env_, function_);
}

void
JsNotifier::Unref()
{
    *refd_ = false;
    (void)napi_unref_threadsafe_function(env_, function_);
}

void
JsNotifier::Close()
{
    owner_ = nullptr;
    *refd_ = false;
    (void)napi_remove_env_cleanup_hook(env_, Teardown, this);
    /* The last release: Node finalizes the function from its loop, and drops calls in
     * flight. */
    (void)napi_release_threadsafe_function(function_, napi_tsfn_release);
}

/* Without an environment: Node is emptying the queue of a function it destroys. */
void
JsNotifier::CallJs(napi_env env, napi_value, void *context, void *data)
{
    JsNotifier *notifier = static_cast<JsNotifier *>(context);
    Notification *notification = static_cast<Notification *>(data);

    if (env != nullptr && notifier->owner_ != nullptr) {
        notifier->owner_->OnNotify(env, notification);
        ReportThrown(env);
    }
    delete notification;
}

void
JsNotifier::Finalize(napi_env, void *, void *context)
{
    delete static_cast<JsNotifier *>(context);
}

/* Node destroys the function right after this hook. */
void
JsNotifier::Teardown(void *data)
{
    JsNotifier *notifier = static_cast<JsNotifier *>(data);
    Owner *owner = notifier->owner_;

    notifier->owner_ = nullptr;
    if (owner != nullptr) {
        owner->OnTeardown();
    }
}

} // namespace epb
