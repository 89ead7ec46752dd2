# Cross-builds the addon and the program of the command line for Windows x64 with mingw-w64, into
# build/windows: scripts/prebuild-win.
#
# Node's headers and the list of its functions are those of the
# npm package node-api-headers, so the result does not depend on the Node of this machine.

CROSS := x86_64-w64-mingw32
CC := $(CROSS)-gcc-posix
CXX := $(CROSS)-g++-posix
DLLTOOL := $(CROSS)-dlltool
BUILD := build/windows
ADDON := $(BUILD)/epb_native.node
PROGRAM := $(BUILD)/epb.exe
HEADERS := node_modules/node-api-headers

sources = $(shell node scripts/sources.js $(1) win)
objects = $(patsubst %.cc,$(BUILD)/%.o,$(patsubst %.c,$(BUILD)/%.o,$(1)))
version = $(shell node -p "require('./scripts/deps.json').$(1).version")

DEPS := $(foreach name,mbedtls libsodium cjson libuv zlib,$(call sources,$(name)))
LIBRARY := $(call objects,$(DEPS) $(call sources,core))
ADDON_OBJECTS := $(LIBRARY) $(call objects,$(call sources,addon) $(call sources,mingw))
PROGRAM_OBJECTS := $(LIBRARY) $(call objects,$(call sources,cli))
OBJECTS := $(sort $(ADDON_OBJECTS) $(PROGRAM_OBJECTS))

ifeq ($(DEPS),)
$(error deps/ is empty: run scripts/fetch-deps)
endif

SODIUM := deps/libsodium/src/libsodium
CPPFLAGS := -MMD -MP -DWIN32_LEAN_AND_MEAN -D_WIN32_WINNT=0x0A00 -D_CRT_DECLARE_NONSTDC_NAMES=0 \
  -DMBEDTLS_CONFIG_FILE='"wire/mbedtls_config.h"' -Icsrc -isystem deps -isystem deps/mbedtls/include \
  -isystem $(SODIUM)/include -isystem deps/libuv/include
CFLAGS := -O2 -fvisibility=hidden -ffunction-sections -ffile-prefix-map=$(CURDIR)/=
WARNINGS := -Wall -Wextra -Wshadow -Werror
VERSIONS := -DEPB_VERSION='"$(shell node -p "require('./package.json').version")"' \
  $(foreach name,mbedtls libsodium cjson,-DEPB_$(shell echo $(name) | tr a-z A-Z)_VERSION='"$(call version,$(name))"')
C_FLAGS := -std=c11 -Wpedantic -Wconversion
CXX_FLAGS := -std=c++17 -fexceptions -fvisibility-inlines-hidden -DBUILDING_NODE_EXTENSION \
  -DNAPI_VERSION=8 -DNAPI_DISABLE_CPP_EXCEPTIONS -isystem deps/node-addon-api -isystem $(HEADERS)/include
# No time stamp: two builds of one commit are equal.
LDFLAGS := -s -static -Wl,--gc-sections,--no-insert-timestamp,--dynamicbase,--nxcompat,--high-entropy-va
LDLIBS := $(foreach name,psapi user32 advapi32 iphlpapi userenv ws2_32 dbghelp ole32 shell32 bcrypt,-l$(name))

all: $(ADDON) $(PROGRAM)

$(ADDON): $(ADDON_OBJECTS) $(BUILD)/exports.def $(BUILD)/libnode.a $(BUILD)/objects
	@echo '  LD $(@F)'; $(CXX) -shared $(LDFLAGS) -o $@ $(ADDON_OBJECTS) $(BUILD)/exports.def $(BUILD)/libnode.a $(LDLIBS)

$(PROGRAM): $(PROGRAM_OBJECTS) $(BUILD)/objects
	@echo '  LD $(@F)'; $(CC) $(LDFLAGS) -o $@ $(PROGRAM_OBJECTS) $(LDLIBS)

# Changes when a source comes or goes.
$(BUILD)/objects: force
	@mkdir -p $(@D)
	@echo $(OBJECTS) | cmp -s - $@ || echo $(OBJECTS) > $@

# The exports are those of the other systems' addons.
$(BUILD)/exports.def: csrc/addon/exports.map
	@mkdir -p $(@D)
	@(echo EXPORTS; grep -oE '^ +n[a-z_]+_v1' $<) > $@

# Node's functions, looked up when the first is called (csrc/addon/host_mingw.c).
$(BUILD)/libnode.a: $(HEADERS)/def/node_api.def
	@mkdir -p $(@D)
	@$(DLLTOOL) -d $< -y $@

$(BUILD)/deps/libsodium/%.o: CPPFLAGS += -include wire/sodium_config.h -I$(SODIUM)/include/sodium
$(BUILD)/deps/libuv/%.o: CPPFLAGS += -Ideps/libuv/src -fno-strict-aliasing
$(BUILD)/deps/cjson/%.o: CPPFLAGS += -DCJSON_HIDE_SYMBOLS
$(BUILD)/deps/zlib/%.o: CPPFLAGS += -DZ_SOLO
$(BUILD)/deps/%.o: deps/%.c
	@mkdir -p $(@D)
	@echo '  CC $(@F)'; $(CC) $(CPPFLAGS) $(CFLAGS) -w -c -o $@ $<

$(BUILD)/csrc/cli/%.o $(BUILD)/csrc/addon/%.o: CPPFLAGS += $(VERSIONS)
$(BUILD)/%.o: %.c scripts/windows.mk
	@mkdir -p $(@D)
	@echo '  CC $(@F)'; $(CC) $(CPPFLAGS) $(CFLAGS) $(C_FLAGS) $(WARNINGS) -c -o $@ $<

$(BUILD)/%.o: %.cc scripts/windows.mk
	@mkdir -p $(@D)
	@echo '  CXX $(@F)'; $(CXX) $(CPPFLAGS) $(CFLAGS) $(CXX_FLAGS) $(WARNINGS) -c -o $@ $<

clean:
	rm -rf $(BUILD)

-include $(OBJECTS:.o=.d)

.PHONY: all clean force
.DELETE_ON_ERROR:
