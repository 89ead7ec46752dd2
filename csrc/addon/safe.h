/*
 * Without memory, or without a thread to be had: an Error of JavaScript, not the end of
 * the process.
 *
 * The only C++ exceptions here are those of the standard library, std::bad_alloc and
 * std::system_error. They may pass neither Node's frames nor the start of a thread, both
 * of which would end the process:
 *
 * - functions that JavaScript calls are registered through Safely, which turns them into
 *   an exception of JavaScript
 * - constructors catch them themselves, and the object's own memory is Spared
 * - our threads allocate nothing: what they tell is made before they start, or with
 *   std::nothrow
 */
#ifndef EPB_ADDON_SAFE_H
#define EPB_ADDON_SAFE_H

#include <cstdlib>
#include <exception>
#include <mutex>
#include <type_traits>

#include "napi_env.h"

namespace epb {

inline void
ThrowFailure(napi_env env)
{
    (void)napi_throw_error(env, "internal",
                           "The system has no memory, or no thread, left for this call");
}

/* Calls; whether it came back without one. */
template <typename Function>
bool
Caught(napi_env env, Function call)
{
    try {
        call();
        return true;
    } catch (const std::exception &) {
        ThrowFailure(env);
        return false;
    }
}

/* The value of a call that may give none. */
template <typename Function>
Napi::Value
CaughtValue(Napi::Env env, Function call)
{
    Napi::Value value = env.Undefined();

    (void)Caught(env, [&] {
        if constexpr (std::is_void_v<decltype(call())>) {
            call();
        } else {
            value = call();
        }
    });
    return value;
}

/* A function, as it is registered. */
template <auto function>
Napi::Value
Safely(const Napi::CallbackInfo &info)
{
    return CaughtValue(info.Env(), [&] { return function(info); });
}

/*
 * Memory of objects that node-addon-api makes with `new` where nothing can be caught.
 * When there is none, one place that is always there serves: the constructor finds itself
 * in it (InSpare), throws, and is destroyed at once. The place is locked meanwhile.
 */
template <class T> class WithFallbackStorage {
  public:
    static void *operator new(size_t size_bytes)
    {
        void *memory = std::malloc(size_bytes);
        if (memory != nullptr) {
            return memory;
        }
        Lock().lock();
        return Place();
    }
    static void operator delete(void *memory)
    {
        if (memory == Place()) {
            Lock().unlock();
        } else {
            std::free(memory);
        }
    }

  protected:
    bool InSpare() const
    {
        return static_cast<const void *>(static_cast<const T *>(this)) == Place();
    }

  private:
    static void *Place()
    {
        alignas(T) static unsigned char place[sizeof(T)];
        return place;
    }
    static std::mutex &Lock()
    {
        static std::mutex lock;
        return lock;
    }
};

} // namespace epb

#endif
