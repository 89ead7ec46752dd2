/*
 * Between JavaScript's values and the core's. Everything that comes from JavaScript is
 * checked here for its type once more, although lib/ has done so: a wrong one throws a
 * TypeError and reads as false. No C++ exceptions: after a false, return to JavaScript at
 * once.
 *
 * While a thread is being terminated, whatever may run JavaScript fails: reading a
 * property, calling, converting, making a function. node-addon-api then gives an empty
 * value, which belongs to no environment, and to ask that for anything more ends the
 * whole process. So nothing is asked of such a result before it is known what it is: by
 * the functions here, which take an empty one for a wrong one, or by Is...().
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

/* The largest whole number that a JavaScript number holds exactly. */
constexpr double kMaxWhole = 9007199254740991.0;

/* Without effect when something has been thrown already, or nothing can be. */
void
ThrowType(napi_env env, const std::string &message);
/* An Error whose `code` is a wire string or the name of a system error. */
void
ThrowError(napi_env env, const std::string &code, const std::string &message);

/* Each names what it wants in its message: "the timeout must be a whole number". */
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
/* Uint8Array (so Buffer, too), or null and undefined for none. Borrowed from the array.
 */
bool
ToBytes(Napi::Env env, const Napi::Value &value, const char *what, epb_bytes *out);

/* Members of an options object; undefined and null leave *out as it is. */
bool
OptionWhole(const Napi::Object &options, const char *name, uint64_t *out);
bool
OptionBoolean(const Napi::Object &options, const char *name, bool *out);
/* *given tells whether it was there. */
bool
OptionText(const Napi::Object &options, const char *name, std::string *out, bool *given);

/* What a callback threw becomes an uncaught exception of the program, as from any event
 * handler. */
void
ReportThrown(napi_env env);

} // namespace epb

#endif
