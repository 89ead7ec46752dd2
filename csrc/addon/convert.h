/*
 * Conversion between JavaScript's values and the core's. Every value from JavaScript is
 * type-checked here again, although lib/ has checked it: a wrong type throws a TypeError
 * and returns false. There are no C++ exceptions: after false, return to JavaScript at
 * once.
 *
 * While a thread is being terminated, every operation that may run JavaScript fails:
 * reading a property, calling, converting, making a function. node-addon-api then returns
 * an empty value, which belongs to no environment. Using an empty value ends the whole
 * process. So check a result before you use it: with the functions here, which treat an
 * empty value as a wrong type, or with Is...().
 */
#ifndef EPB_ADDON_CONVERT_H
#define EPB_ADDON_CONVERT_H

#include <string>
#include <vector>

#include "napi_env.h"

extern "C" {
#include "base/bytes.h"
#include "base/status.h"
}

namespace epb {

/* The largest integer up to which a JavaScript number is exact. */
constexpr double kMaxWhole = 9007199254740991.0;

/* Does nothing when an exception is pending already, or none can be thrown. */
void
ThrowType(napi_env env, const std::string &message);
/* Throws an Error whose `code` is a wire string or the name of a system error. */
void
ThrowError(napi_env env, const std::string &code, const std::string &message);

/* The error message names `what`: "the timeout must be a whole number". */
bool
ToWhole(Napi::Env env, const Napi::Value &value, const char *what, uint64_t *out);
bool
ToBoolean(Napi::Env env, const Napi::Value &value, const char *what, bool *out);
bool
ToText(Napi::Env env, const Napi::Value &value, const char *what, std::string *out);
bool
ToTexts(Napi::Env env, const Napi::Value &value, const char *what,
        std::vector<std::string> *out);
bool
ToFunction(Napi::Env env, const Napi::Value &value, const char *what,
           Napi::Function *out);
/* Uint8Array (including Buffer), or null or undefined for no bytes. Borrowed from the
 * array. */
bool
ToBytes(Napi::Env env, const Napi::Value &value, const char *what, epb_bytes *out);

/* Members of an options object; undefined and null leave *out unchanged. */
bool
OptionWhole(const Napi::Object &options, const char *name, uint64_t *out);
bool
OptionBoolean(const Napi::Object &options, const char *name, bool *out);
/* *given is set to whether the member exists. */
bool
OptionText(const Napi::Object &options, const char *name, std::string *out, bool *given);

/* Turns an exception from a callback into an uncaught exception of the program, as from
 * any event handler. */
void
ReportThrown(napi_env env);

} // namespace epb

#endif
