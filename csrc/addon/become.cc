/* The script behind `npx ephemeral-pipe-broker` becomes the native program (os/become.h).
 */
#include "addon.h"

#include <string>
#include <vector>

#include "convert.h"
#include "safe.h"

extern "C" {
#include "os/oserror.h"
#ifndef _WIN32
#include "os/become.h"
#endif
}

namespace epb {

#ifndef _WIN32

/* become(path, arguments, givesBackDescriptors): returns the name of an error, or not at
 * all. */
static Napi::Value
Become(const Napi::CallbackInfo &info)
{
    Napi::Env env = info.Env();
    std::string path;
    std::vector<std::string> arguments;
    bool gives_back = false;

    if (!ToText(env, info[0], "path", &path) ||
        !ToTexts(env, info[1], "arguments", &arguments) ||
        !ToBoolean(env, info[2], "givesBackDescriptors", &gives_back)) {
        return env.Undefined();
    }
    std::vector<const char *> pointers;
    for (const std::string &argument : arguments) {
        pointers.push_back(argument.c_str());
    }
    struct epb_become_spec spec = {};
    spec.path = path.c_str();
    spec.arguments = pointers.data();
    spec.count = pointers.size();
    spec.gives_back_descriptors = gives_back;
    return Napi::String::New(env,
                             epb_os_error_name(epb_os_error_from(epb_become(&spec))));
}

void
DefineBecome(Napi::Env env, Napi::Object exports)
{
    exports.Set("become", Napi::Function::New<Safely<Become>>(env, "become"));
}

#else

/* Windows has no exec. */
void
DefineBecome(Napi::Env, Napi::Object)
{
}

#endif

} // namespace epb
