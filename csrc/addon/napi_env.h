/*
 * node-addon-api as this addon wants it; include this, never <napi.h>.
 *
 * While a worker is being terminated, nothing can be thrown in it any more. By default
 * node-addon-api ends the whole process then; told to swallow, it lets the call return.
 */
#ifndef EPB_ADDON_NAPI_ENV_H
#define EPB_ADDON_NAPI_ENV_H

#define NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS
#include <napi.h>

#endif
