#include "bell.h"

#include "convert.h"

namespace epb {

Napi::Object
Bell::MakeResource(Napi::Env env, std::shared_ptr<bool> refd)
{
    Napi::Object resource = Napi::Object::New(env);
    auto has_ref = [refd](const Napi::CallbackInfo &info) -> Napi::Value {
        return Napi::Boolean::New(info.Env(), *refd);
    };

    resource.Set("hasRef", Napi::Function::New(env, has_ref, "hasRef"));
    return resource;
}

Bell *
Bell::Open(Napi::Env env, const char *name, Owner *owner)
{
    Bell *bell = new Bell(env, owner);
    bell->refd_ = std::make_shared<bool>(true);
    napi_status status = napi_create_threadsafe_function(
        env, nullptr, MakeResource(env, bell->refd_), Napi::String::New(env, name), 0, 1,
        nullptr, Finalize, bell, CallJs, &bell->function_);

    if (status != napi_ok) {
        delete bell;
        ThrowError(env, "internal", "Node can't make a thread-safe function");
        return nullptr;
    }
    if (napi_add_env_cleanup_hook(env, Teardown, bell) != napi_ok) {
        bell->owner_ = nullptr;
        (void)napi_release_threadsafe_function(bell->function_, napi_tsfn_release);
        ThrowError(env, "internal", "Node can't install a clean-up hook");
        return nullptr;
    }
    return bell;
}

void
Bell::Ring(News *take_news)
{
    if (napi_call_threadsafe_function(function_, take_news, napi_tsfn_nonblocking) !=
        napi_ok) {
        delete take_news;
    }
}

void
Bell::Ref()
{
    *refd_ = true;
    (void)napi_ref_threadsafe_function(env_, function_);
}

void
Bell::Unref()
{
    *refd_ = false;
    (void)napi_unref_threadsafe_function(env_, function_);
}

void
Bell::Close()
{
    owner_ = nullptr;
    *refd_ = false;
    (void)napi_remove_env_cleanup_hook(env_, Teardown, this);
    /* The last release: Node finalizes it from its loop, and drops what is under way. */
    (void)napi_release_threadsafe_function(function_, napi_tsfn_release);
}

/* Without an environment, Node empties the queue of a function that it destroys. */
void
Bell::CallJs(napi_env env, napi_value, void *context, void *data)
{
    Bell *bell = static_cast<Bell *>(context);
    News *news = static_cast<News *>(data);

    if (env != nullptr && bell->owner_ != nullptr) {
        bell->owner_->OnRing(env, news);
        ReportThrown(env);
    }
    delete news;
}

void
Bell::Finalize(napi_env, void *, void *context)
{
    delete static_cast<Bell *>(context);
}

/* Node destroys the function itself, right after this. */
void
Bell::Teardown(void *data)
{
    Bell *bell = static_cast<Bell *>(data);
    Owner *owner = bell->owner_;

    bell->owner_ = nullptr;
    if (owner != nullptr) {
        owner->OnTeardown();
    }
}

} // namespace epb
