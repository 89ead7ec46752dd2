/* The parts of the binding; each adds its functions and classes to `exports`. */
#ifndef EPB_ADDON_ADDON_H
#define EPB_ADDON_ADDON_H

#include "napi_env.h"

namespace epb {

/* client.cc: class Channel */
void
DefineChannel(Napi::Env env, Napi::Object exports);
/* broker.cc: class Broker */
void
DefineBroker(Napi::Env env, Napi::Object exports);
/* become.cc: become */
void
DefineBecome(Napi::Env env, Napi::Object exports);

} // namespace epb

#endif
