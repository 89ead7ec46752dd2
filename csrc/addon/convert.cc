/* See convert.h. */
#include "convert.h"

namespace epb {

void
ThrowType(napi_env env, const std::string &message)
{
    (void)napi_throw_type_error(env, nullptr, message.c_str());
}

void
ThrowError(napi_env env, const std::string &code, const std::string &message)
{
    (void)napi_throw_error(env, code.c_str(), message.c_str());
}

static bool
Wrong(Napi::Env env, const char *what, const char *wanted)
{
    ThrowType(env, std::string(what) + " must be " + wanted);
    return false;
}

bool
ToWhole(Napi::Env env, const Napi::Value &value, const char *what, uint64_t *out)
{
    double number = -1.0;

    /* Fails when it is not a number. */
    (void)napi_get_value_double(env, value, &number);
    if (number >= 0.0 && number <= kMaxWhole) {
        *out = static_cast<uint64_t>(number);
        if (static_cast<double>(*out) == number) {
            return true;
        }
    }
    return Wrong(env, what, "a whole number, 0 or more");
}

bool
ToBoolean(Napi::Env env, const Napi::Value &value, const char *what, bool *out)
{
    return napi_get_value_bool(env, value, out) == napi_ok ||
           Wrong(env, what, "true or false");
}

bool
ToText(Napi::Env env, const Napi::Value &value, const char *what, std::string *out)
{
    if (!value.IsString()) {
        return Wrong(env, what, "a string");
    }
    *out = value.As<Napi::String>().Utf8Value();
    /* The text becomes a C string: everything after a NUL would be lost silently. */
    if (out->find('\0') != std::string::npos) {
        return Wrong(env, what, "without NUL characters");
    }
    return true;
}

bool
ToTexts(Napi::Env env, const Napi::Value &value, const char *what,
        std::vector<std::string> *out)
{
    if (!value.IsArray()) {
        return Wrong(env, what, "an array of strings");
    }
    Napi::Array array = value.As<Napi::Array>();
    for (uint32_t i = 0; i < array.Length(); i++) {
        std::string text;
        if (!ToText(env, array.Get(i), what, &text)) {
            return false;
        }
        out->push_back(text);
    }
    return true;
}

bool
ToFunction(Napi::Env env, const Napi::Value &value, const char *what, Napi::Function *out)
{
    if (!value.IsFunction()) {
        return Wrong(env, what, "a function");
    }
    *out = value.As<Napi::Function>();
    return true;
}

bool
ToBytes(Napi::Env env, const Napi::Value &value, const char *what, epb_bytes *out)
{
    napi_typedarray_type type = napi_int8_array;
    void *data = nullptr;
    size_t size = 0;

    *out = {nullptr, 0};
    if (napi_get_typedarray_info(env, value, &type, &size, &data, nullptr, nullptr) ==
            napi_ok &&
        type == napi_uint8_array) {
        *out = {static_cast<const uint8_t *>(data), size};
        return true;
    }
    return value.IsNull() || value.IsUndefined() || Wrong(env, what, "a Uint8Array");
}

static bool
IsGiven(const Napi::Value &value)
{
    return !value.IsUndefined() && !value.IsNull();
}

bool
OptionWhole(const Napi::Object &options, const char *name, uint64_t *out)
{
    Napi::Value value = options.Get(name);

    return !IsGiven(value) || ToWhole(options.Env(), value, name, out);
}

bool
OptionBoolean(const Napi::Object &options, const char *name, bool *out)
{
    Napi::Value value = options.Get(name);

    return !IsGiven(value) || ToBoolean(options.Env(), value, name, out);
}

bool
OptionText(const Napi::Object &options, const char *name, std::string *out, bool *given)
{
    Napi::Value value = options.Get(name);

    *given = IsGiven(value);
    return !*given || ToText(options.Env(), value, name, out);
}

void
ReportThrown(napi_env env)
{
    bool pending = false;
    napi_value thrown = nullptr;

    if (napi_is_exception_pending(env, &pending) != napi_ok || !pending) {
        return;
    }
    if (napi_get_and_clear_last_exception(env, &thrown) != napi_ok) {
        return;
    }
    (void)napi_fatal_exception(env, thrown);
}

} // namespace epb
