/* Which command lines are package managers', and real processes above. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/ancestors.h"
#include "helpers.h"

/* Words that are divided by '|'. */
static bool
is_manager(const char *words)
{
    char arguments[256];
    size_t size = strlen(words) + 1;

    memcpy(arguments, words, size);
    for (size_t i = 0; i < size; i++) {
        if (arguments[i] == '|') {
            arguments[i] = '\0';
        }
    }
    return epb_ancestors_is_manager(arguments, size);
}

Test(ancestors, recognizes_package_managers)
{
    static const char *const managers[] = {
        "npm exec jest",
        "npm run test",
        "npm exec epb start||",
        "yarn",
        "node|/usr/bin/npx|epb",
        "/usr/bin/node|/usr/share/yarn/bin/yarn.js|run|test",
        "npx",
        "yarn run x",
        "node|/usr/lib/node_modules/npm/bin/npm-cli.js|test",
        "/usr/bin/node|--no-warnings|/opt/pnpm/bin/pnpm.cjs|test",
        "node|/repo/.yarn/releases/yarn-4.1.0.cjs|test",
        "nodejs|/x/npx-cli.js",
        "pnpm.exe|test",
    };
    static const char *const others[] = {
        "",
        "bash|-c|npm test",
        "node|server.js",
        "node|-e|npm",
        "npm-check",
        "vim|npm",
        "yarnish",
        "node",
        "sh|-c|yarn",
        "node|server.js|npm",
        "node|/home/npm/server.js",
    };

    for (size_t i = 0; i < sizeof(managers) / sizeof(managers[0]); i++) {
        cr_assert(is_manager(managers[i]), "%s", managers[i]);
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        cr_assert_not(is_manager(others[i]), "%s", others[i]);
    }
}

Test(ancestors, finds_a_manager_above_a_shell)
{
    int ends[2];
    int input[2]; /* ends with the test, so that the shell waits */
    char line[32] = "";
    struct epb_ancestors before;
    struct epb_ancestors found;

    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(pipe(input), 0);
    pid_t manager = fork();
    if (manager == 0) {
        cr_assert_eq(dup2(input[0], 0), 0);
        cr_assert_eq(dup2(ends[1], 1), 1);
        execl("/bin/bash", "npm run", "-c",
              "bash -c 'echo $$; read x; :'; :", (char *)NULL);
        _exit(1);
    }
    close(ends[1]);
    cr_assert_gt(read(ends[0], line, sizeof(line) - 1), 0);
    epb_ancestors_find(&before, (uint32_t)getpid());
    epb_ancestors_find(&found, (uint32_t)strtoul(line, NULL, 10));
    cr_assert_eq(found.count, before.count + 1);
    cr_assert_eq(found.managers[0], (uint32_t)manager);
    cr_assert_eq(kill((pid_t)strtoul(line, NULL, 10), SIGKILL), 0);
    cr_assert_eq(kill(manager, SIGKILL), 0);
    cr_assert_eq(waitpid(manager, NULL, 0), manager);
    close(ends[0]);
    close(input[0]);
    close(input[1]);
}
