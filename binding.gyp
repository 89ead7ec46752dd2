# Builds build/Release/epb_native.node, the C core and its C++ binding, and build/Release/epb, the
# program of the command line. Both have mbedTLS, libsodium, cJSON and libuv linked in from deps/
# (scripts/fetch-deps). The addon exports no symbol of theirs: csrc/addon/exports.map says why.
{
  "variables": {
    "epb_version%": "<!(node -p \"require('./package.json').version\")",
    "mbedtls_version": "<!(node -p \"require('./scripts/deps.json').mbedtls.version\")",
    "libsodium_version": "<!(node -p \"require('./scripts/deps.json').libsodium.version\")",
    "cjson_version": "<!(node -p \"require('./scripts/deps.json').cjson.version\")",
    # With its folder: mbedTLS has a file of the same name next to the header that includes it.
    "mbedtls_config": "MBEDTLS_CONFIG_FILE=\"wire/mbedtls_config.h\"",
  },

  "target_defaults": {
    # Node's uv.h has another version and layout than the libuv linked here. Its folder is removed
    # from the search path and added again after ours.
    "include_dirs!": [
      "<(node_root_dir)/include/node",
      "<(node_root_dir)/deps/uv/include",
    ],
    "cflags!": ["-O3", "-Wno-unused-parameter"],
    "cflags": [
      "-O2",
      "-fPIC",
      "-fvisibility=hidden",
      "-ffunction-sections",
      "-fdata-sections",
      "-fstack-protector-strong",
      "-ffile-prefix-map=<(module_root_dir)/=",
      "-U_FORTIFY_SOURCE",
      "-D_FORTIFY_SOURCE=2",
    ],
    "configurations": {
      "Release": {"cflags!": ["-O3"]},
    },
    "xcode_settings": {
      "GCC_OPTIMIZATION_LEVEL": "2",
      "GCC_SYMBOLS_PRIVATE_EXTERN": "YES",
      "MACOSX_DEPLOYMENT_TARGET": "11.0",
    },
    "conditions": [
      # For C only: g++ defines it.
      ["OS == 'linux'", {"cflags_c": ["-D_GNU_SOURCE"]}],
      ["OS == 'win'", {
        "defines": [
          "WIN32_LEAN_AND_MEAN",
          "_WIN32_WINNT=0x0A00",
          "_CRT_DECLARE_NONSTDC_NAMES=0",
          "_CRT_SECURE_NO_WARNINGS",
        ],
      }],
    ],
  },

  "targets": [
    {
      "target_name": "epb_mbedtls",
      "type": "static_library",
      "sources": ["<!@(node scripts/sources.js mbedtls <(OS))"],
      "include_dirs": ["deps/mbedtls/include", "csrc"],
      "defines": ["<(mbedtls_config)"],
      "direct_dependent_settings": {"defines": ["<(mbedtls_config)"]},
      "cflags": ["-w"],
    },
    {
      "target_name": "epb_libsodium",
      "type": "static_library",
      "sources": ["<!@(node scripts/sources.js libsodium <(OS))"],
      "include_dirs": ["deps/libsodium/src/libsodium/include/sodium", "csrc"],
      "cflags": ["-include", "wire/sodium_config.h", "-w"],
      "xcode_settings": {
        "OTHER_CFLAGS": ["-include", "wire/sodium_config.h", "-w"],
      },
      "msvs_settings": {"VCCLCompilerTool": {"ForcedIncludeFiles": ["wire/sodium_config.h"]}},
    },
    {
      "target_name": "epb_cjson",
      "type": "static_library",
      "sources": ["<!@(node scripts/sources.js cjson <(OS))"],
      "defines": ["CJSON_HIDE_SYMBOLS"],
      "cflags": ["-w"],
    },
    {
      "target_name": "epb_zlib",
      "type": "static_library",
      "sources": ["<!@(node scripts/sources.js zlib <(OS))"],
      "defines": ["Z_SOLO"],
      "cflags": ["-w"],
    },
    {
      "target_name": "epb_libuv",
      "type": "static_library",
      "sources": ["<!@(node scripts/sources.js libuv <(OS))"],
      "include_dirs": ["deps/libuv/include", "deps/libuv/src"],
      "cflags": ["-fno-strict-aliasing", "-w"],
      "conditions": [
        ["OS != 'win'", {"defines": ["_FILE_OFFSET_BITS=64", "_LARGEFILE_SOURCE"]}],
        # This macro is libuv's only switch for its second kernel queue (io_uring). Without io_uring
        # a loop opens faster, uses less memory, and behaves as in containers that forbid io_uring.
        ["OS == 'linux'", {"defines": ["_POSIX_C_SOURCE=200112", "__ANDROID_API__=30"]}],
        ["OS == 'mac'", {
          "defines": ["_DARWIN_UNLIMITED_SELECT=1", "_DARWIN_USE_64_BIT_INODE=1"],
        }],
      ],
      "link_settings": {
        "conditions": [
          ["OS == 'linux'", {"libraries": ["-lpthread", "-ldl", "-lrt"]}],
          ["OS == 'win'", {
            "libraries": [
              "-lpsapi", "-luser32", "-ladvapi32", "-liphlpapi", "-luserenv", "-lws2_32",
              "-ldbghelp", "-lole32", "-lshell32",
            ],
          }],
        ],
      },
    },
    {
      "target_name": "epb_core",
      "type": "static_library",
      "sources": ["<!@(node scripts/sources.js core <(OS))"],
      "dependencies": ["epb_mbedtls", "epb_libsodium", "epb_cjson", "epb_libuv"],
      "export_dependent_settings": ["epb_libuv"],
      "include_dirs": ["csrc"],
      "cflags": [
        # System folders, so that our warnings do not apply to third-party headers.
        "-isystem<(module_root_dir)/deps",
        "-isystem<(module_root_dir)/deps/mbedtls/include",
        "-isystem<(module_root_dir)/deps/libsodium/src/libsodium/include",
        "-isystem<(module_root_dir)/deps/libuv/include",
        "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror",
      ],
      "cflags_c": ["-std=c11"],
      "xcode_settings": {
        "GCC_C_LANGUAGE_STANDARD": "c11",
        "OTHER_CFLAGS": [
          "-isystem<(module_root_dir)/deps",
          "-isystem<(module_root_dir)/deps/mbedtls/include",
          "-isystem<(module_root_dir)/deps/libsodium/src/libsodium/include",
          "-isystem<(module_root_dir)/deps/libuv/include",
          "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow",
        ],
      },
      "msvs_settings": {"VCCLCompilerTool": {"AdditionalOptions": ["/std:c11"]}},
      "conditions": [
        ["OS == 'win'", {
          "include_dirs": [
            "deps",
            "deps/mbedtls/include",
            "deps/libsodium/src/libsodium/include",
            "deps/libuv/include",
          ],
        }],
      ],
    },
    {
      "target_name": "epb_native",
      "sources": ["<!@(node scripts/sources.js addon <(OS))"],
      "dependencies": ["epb_core"],
      "include_dirs": ["csrc"],
      "defines": [
        "NAPI_VERSION=8",
        "NAPI_DISABLE_CPP_EXCEPTIONS",
        "EPB_VERSION=\"<(epb_version)\"",
        "EPB_MBEDTLS_VERSION=\"<(mbedtls_version)\"",
        "EPB_LIBSODIUM_VERSION=\"<(libsodium_version)\"",
        "EPB_CJSON_VERSION=\"<(cjson_version)\"",
      ],
      "cflags": [
        "-isystem<(module_root_dir)/deps/node-addon-api",
        "-isystem<(module_root_dir)/deps/libuv/include",
        "-isystem<(node_root_dir)/include/node",
        "-Wall", "-Wextra", "-Wshadow", "-Werror",
      ],
      "cflags_cc!": ["-std=gnu++14", "-std=gnu++17", "-std=gnu++20", "-fno-exceptions"],
      # Exceptions of the standard library are caught: csrc/addon/safe.h.
      "cflags_cc": ["-std=c++17", "-fvisibility-inlines-hidden", "-fexceptions"],
      "xcode_settings": {
        "CLANG_CXX_LANGUAGE_STANDARD": "c++17",
        "GCC_ENABLE_CPP_EXCEPTIONS": "YES",
        "OTHER_CFLAGS": [
          "-isystem<(module_root_dir)/deps/node-addon-api",
          "-isystem<(module_root_dir)/deps/libuv/include",
          "-isystem<(node_root_dir)/include/node",
        ],
        "OTHER_LDFLAGS": [
          "-Wl,-exported_symbol,_napi_register_module_v1",
          "-Wl,-exported_symbol,_node_api_module_get_api_version_v1",
          "-Wl,-dead_strip",
        ],
      },
      "msvs_settings": {
        "VCCLCompilerTool": {"AdditionalOptions": ["/std:c++17"], "ExceptionHandling": 1},
      },
      "conditions": [
        ["OS == 'linux'", {
          "ldflags": [
            "-Wl,--version-script=<(module_root_dir)/csrc/addon/exports.map",
            "-Wl,--gc-sections",
            "-Wl,-z,relro,-z,now,-z,noexecstack",
            "-static-libstdc++",
            "-static-libgcc",
          ],
        }],
        ["OS == 'win'", {
          "include_dirs": ["deps/node-addon-api", "<(node_root_dir)/include/node"],
        }],
      ],
    },
    {
      "target_name": "epb",
      "type": "executable",
      "sources": ["<!@(node scripts/sources.js cli <(OS))"],
      "dependencies": ["epb_core", "epb_zlib"],
      "include_dirs": ["csrc"],
      "defines": [
        "EPB_VERSION=\"<(epb_version)\"",
        "EPB_MBEDTLS_VERSION=\"<(mbedtls_version)\"",
        "EPB_LIBSODIUM_VERSION=\"<(libsodium_version)\"",
        "EPB_CJSON_VERSION=\"<(cjson_version)\"",
      ],
      "cflags": [
        "-isystem<(module_root_dir)/deps",
        "-isystem<(module_root_dir)/deps/libuv/include",
        "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror",
      ],
      "cflags_c": ["-std=c11"],
      "xcode_settings": {
        "GCC_C_LANGUAGE_STANDARD": "c11",
        "OTHER_CFLAGS": [
          "-isystem<(module_root_dir)/deps/libuv/include",
          "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow",
        ],
        "OTHER_LDFLAGS": ["-Wl,-dead_strip"],
      },
      "msvs_settings": {"VCCLCompilerTool": {"AdditionalOptions": ["/std:c11"]}},
      "conditions": [
        ["OS == 'linux'", {
          "ldflags": [
            "-pie",
            "-Wl,--gc-sections",
            "-Wl,-z,relro,-z,now,-z,noexecstack",
          ],
          # The program exports no symbol.
          "ldflags!": ["-rdynamic"],
        }],
      ],
    },
  ],
}
