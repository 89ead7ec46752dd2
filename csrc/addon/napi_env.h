/*
 * node-addon-api with this addon's settings; include this, never <napi.h>.
 *
 * While a worker is being terminated, nothing can be thrown in it any more.
 * node-addon-api by default then ends the whole process; with this setting it lets the
 * call return.
 */
#ifndef EPB_ADDON_NAPI_ENV_H
#define EPB_ADDON_NAPI_ENV_H

#define NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS
#include <napi.h>

#endif
