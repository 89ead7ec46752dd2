/* See ancestors.h. */
#include "ancestors.h"

#include <string.h>

#include "../base/proc.h"

/* Real chains have a dozen links. */
#define VISITED_MAX 64U
#define ARGUMENTS_BYTES 4096U

static const char *const NAMES[] = {"npm", "npx", "pnpm", "pnpx", "yarn", "yarnpkg"};
static const char *const SUFFIXES[] = {".js", ".cjs", ".mjs", ".exe", ".cmd"};

struct word {
    const char *text;
    size_t size;
};

static bool
ends_in(struct word word, const char *suffix)
{
    size_t size = strlen(suffix);

    return word.size > size && memcmp(word.text + word.size - size, suffix, size) == 0;
}

static struct word
base_name(struct word word)
{
    for (size_t i = word.size; i > 0; i--) {
        if (word.text[i - 1] == '/') {
            return (struct word){word.text + i, word.size - i};
        }
    }
    return word;
}

static bool
is_text(struct word word, const char *text)
{
    return word.size == strlen(text) && memcmp(word.text, text, word.size) == 0;
}

/* "yarn-1.22.22.cjs" is a yarn that a project keeps. */
static bool
is_kept_yarn(struct word name)
{
    return name.size > 5 && memcmp(name.text, "yarn-", 5) == 0 && name.text[5] >= '0' &&
           name.text[5] <= '9';
}

static bool
names_manager(struct word word)
{
    struct word name = base_name(word);

    if (is_kept_yarn(name)) {
        return true;
    }
    for (size_t i = 0; i < sizeof(SUFFIXES) / sizeof(SUFFIXES[0]); i++) {
        if (ends_in(name, SUFFIXES[i])) {
            name.size -= strlen(SUFFIXES[i]);
            break;
        }
    }
    if (ends_in(name, "-cli")) {
        name.size -= 4;
    }
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
        if (is_text(name, NAMES[i])) {
            return true;
        }
    }
    return false;
}

/* Flags of Node that come with a program in place of a script. */
static bool
is_eval(struct word word)
{
    static const char *const flags[] = {"-e", "-p", "-pe", "--eval", "--print"};

    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        if (is_text(word, flags[i])) {
            return true;
        }
    }
    return false;
}

/* Takes the next word that is not empty; size 0: there is none. */
static struct word
next_word(const char **at, const char *end)
{
    while (*at < end && **at == '\0') {
        (*at)++;
    }
    struct word word = {*at, 0};
    while (*at < end && **at != '\0') {
        (*at)++;
        word.size++;
    }
    return word;
}

static size_t
size_to_space(struct word word)
{
    const char *space = memchr(word.text, ' ', word.size);

    return space == NULL ? word.size : (size_t)(space - word.text);
}

bool
epb_ancestors_is_manager(const char *arguments, size_t size_bytes)
{
    const char *end = arguments + size_bytes;
    struct word title = next_word(&arguments, end);

    title.size = size_to_space(title);
    if (title.size == 0 || names_manager(title)) {
        return title.size != 0;
    }
    struct word program = base_name(title);
    if (!is_text(program, "node") && !is_text(program, "nodejs")) {
        return false;
    }
    struct word script = next_word(&arguments, end);
    while (script.size > 0 && script.text[0] == '-') {
        if (is_eval(script)) {
            return false;
        }
        script = next_word(&arguments, end);
    }
    return script.size > 0 && names_manager(script);
}

void
epb_ancestors_find(struct epb_ancestors *found, uint32_t from)
{
    char arguments[ARGUMENTS_BYTES];

    found->count = 0;
    for (unsigned visited = 0; from > 1 && visited < VISITED_MAX; visited++) {
        uint32_t parent = 0;
        size_t size = 0;
        if (!epb_proc_describe(from, &parent, arguments, sizeof(arguments), &size)) {
            return;
        }
        if (found->count < EPB_ANCESTORS_MAX &&
            epb_ancestors_is_manager(arguments, size)) {
            found->managers[found->count++] = from;
        }
        from = parent;
    }
}
