# Builds the program of the command line as one static file for every Linux distribution, with
# musl's compiler wrapper (Debian: musl-tools): scripts/prebuild.
#
#   make -f scripts/musl.mk             builds build/musl/epb
#
# Objects go to build/musl.

CC := musl-gcc
BUILD := build/musl
PROGRAM := $(BUILD)/epb

sources = $(shell node scripts/sources.js $(1) linux)
objects = $(patsubst %.c,$(BUILD)/%.o,$(1))
version = $(shell node -p "require('./scripts/deps.json').$(1).version")

DEPS := $(foreach name,mbedtls libsodium cjson libuv zlib,$(call sources,$(name)))
OBJECTS := $(call objects,$(DEPS) $(call sources,core) $(call sources,cli))

ifeq ($(DEPS),)
$(error deps/ is empty: run scripts/fetch-deps)
endif

SODIUM := deps/libsodium/src/libsodium
# The kernel's headers are those of the system; they come after musl's own.
KERNEL := -idirafter /usr/include -idirafter /usr/include/$(shell uname -m)-linux-gnu
CPPFLAGS := -MMD -MP -D_GNU_SOURCE -DMBEDTLS_CONFIG_FILE='"wire/mbedtls_config.h"' -Icsrc \
  -isystem deps -isystem deps/mbedtls/include -isystem $(SODIUM)/include -isystem deps/libuv/include $(KERNEL)
CFLAGS := -O2 -fPIE -fvisibility=hidden -ffunction-sections -fdata-sections -fstack-protector-strong \
  -fno-asynchronous-unwind-tables -ffile-prefix-map=$(CURDIR)/=
# Without the sign conversions in musl's macros.
WARNINGS := -std=c11 -Wall -Wextra -Wpedantic -Wconversion -Wno-sign-conversion -Wshadow -Werror
VERSIONS := -DEPB_VERSION='"$(shell node -p "require('./package.json').version")"' \
  $(foreach name,mbedtls libsodium cjson,-DEPB_$(shell echo $(name) | tr a-z A-Z)_VERSION='"$(call version,$(name))"')
# The wrapper knows no -static-pie: a static program that the kernel loads at a random address.
MUSL := /usr/lib/$(shell uname -m)-linux-musl
gcc_file = $(shell $(CC) -print-file-name=$(1))
BEGIN := $(MUSL)/rcrt1.o $(MUSL)/crti.o $(call gcc_file,crtbeginS.o)
END := $(call gcc_file,crtendS.o) $(MUSL)/crtn.o
LDFLAGS := -static -nostartfiles -s -Wl,-pie,--no-dynamic-linker,-z,text \
  -Wl,--gc-sections,--build-id=none,-z,relro,-z,now,-z,noexecstack

all: $(PROGRAM)

$(PROGRAM): $(OBJECTS) $(BUILD)/objects
	@echo '  LD $(@F)'; $(CC) $(LDFLAGS) -o $@ $(BEGIN) $(OBJECTS) $(END)

# Changes when a source comes or goes.
$(BUILD)/objects: force
	@mkdir -p $(@D)
	@echo $(OBJECTS) | cmp -s - $@ || echo $(OBJECTS) > $@

$(BUILD)/deps/libsodium/%.o: CPPFLAGS += -include wire/sodium_config.h -I$(SODIUM)/include/sodium
$(BUILD)/deps/libuv/%.o: CPPFLAGS += -Ideps/libuv/src -D_FILE_OFFSET_BITS=64 -D_LARGEFILE_SOURCE \
  -D_POSIX_C_SOURCE=200112 -D__ANDROID_API__=30 -fno-strict-aliasing
$(BUILD)/deps/cjson/%.o: CPPFLAGS += -DCJSON_HIDE_SYMBOLS
$(BUILD)/deps/zlib/%.o: CPPFLAGS += -DZ_SOLO
$(BUILD)/deps/%.o: deps/%.c scripts/musl.mk
	@mkdir -p $(@D)
	@echo '  CC $(@F)'; $(CC) $(CPPFLAGS) $(CFLAGS) -w -c -o $@ $<

$(BUILD)/csrc/cli/cmd_help.o: CPPFLAGS += $(VERSIONS)
$(BUILD)/csrc/%.o: csrc/%.c scripts/musl.mk
	@mkdir -p $(@D)
	@echo '  CC $(@F)'; $(CC) $(CPPFLAGS) $(CFLAGS) $(WARNINGS) -c -o $@ $<

clean:
	rm -rf $(BUILD)

-include $(OBJECTS:.o=.d)

.PHONY: all clean force
.DELETE_ON_ERROR:
