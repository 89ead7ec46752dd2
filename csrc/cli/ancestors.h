/* The package managers above a process: npm, npx, pnpm and yarn. They stand between a
 * person and the command, often with a shell in between, and a killed one tells nothing
 * to its children. Empty where the system shows no other processes. */
#ifndef EPB_CLI_ANCESTORS_H
#define EPB_CLI_ANCESTORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EPB_ANCESTORS_MAX 16U

struct epb_ancestors {
    uint32_t managers[EPB_ANCESTORS_MAX];
    size_t count;
};

/* Looks at the process `from` and all above it. */
void
epb_ancestors_find(struct epb_ancestors *found, uint32_t from);
/* Whether the arguments of a process, each ended by a NUL, are those of a package
 * manager: npm and yarn rewrite their title ("npm exec jest"), the others are scripts of
 * Node ("node /path/to/pnpm.cjs"). */
bool
epb_ancestors_is_manager(const char *arguments, size_t size_bytes);

#endif
