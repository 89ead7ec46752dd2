/*
 * Turns a lack of memory or threads into a JavaScript Error, instead of the end of the
 * process.
 *
 * The only C++ exceptions here come from the standard library: std::bad_alloc and
 * std::system_error. If one passed one of Node's frames or the start of a thread, the
 * process would end. So:
 *
 * - functions that JavaScript calls are registered through Safely, which turns C++
 *   exceptions into JavaScript exceptions
 * - constructors catch exceptions themselves, and the object's own memory has
 *   WithFallbackStorage
 * - our threads do not allocate: their notifications are made before the threads start,
 *   or with std::nothrow
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

/* Calls `call`; returns whether it threw nothing. */
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

/* The value of a call; undefined after an exception or from a void function. */
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

/* Wraps a function for registration. */
template <auto function>
Napi::Value
Safely(const Napi::CallbackInfo &info)
{
    return CaughtValue(info.Env(), [&] { return function(info); });
}

/*
 * Storage for objects that node-addon-api makes with `new` where no code can catch an
 * exception. When memory is out, the object is made in a static place that always exists.
 * Its constructor detects this (InSpare) and throws a JavaScript exception, and the
 * object is destroyed at once. The place is locked meanwhile.
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
