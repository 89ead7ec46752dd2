/* See windows_path.h. */
#include "windows_path.h"

#include <string.h>

#define USUAL_EXTENSIONS ".COM;.EXE;.BAT;.CMD"

struct part {
    const char *text;
    size_t size;
};

/* The part up to the next semicolon; *list is moved behind it. Quotes around it are left
 * out, and a semicolon within quotes is a part of it. */
static struct part
next_part(const char **list)
{
    const char *begin = *list;
    bool quoted = false;
    size_t size = 0;

    while (begin[size] != '\0' && (quoted || begin[size] != ';')) {
        quoted = begin[size] == '"' ? !quoted : quoted;
        size++;
    }
    *list = begin + size + (begin[size] == ';' ? 1 : 0);
    if (size >= 2 && begin[0] == '"' && begin[size - 1] == '"') {
        return (struct part){begin + 1, size - 2};
    }
    return (struct part){begin, size};
}

static char
lower(char character)
{
    return (char)(character >= 'A' && character <= 'Z' ? character - 'A' + 'a'
                                                       : character);
}

/* Whether the system or cmd.exe can start a file with this extension. */
static bool
can_start(struct part extension)
{
    static const char known[][5] = {".com", ".exe", ".bat", ".cmd"};

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        size_t same = 0;
        while (same < extension.size && same < 4 &&
               lower(extension.text[same]) == known[i][same]) {
            same++;
        }
        if (same == 4 && extension.size == 4) {
            return true;
        }
    }
    return false;
}

/* EPB_NOT_FOUND: there is no file with this name. */
static enum epb_status
try_file(const struct epb_windows_search *search, struct part folder, const char *name,
         struct part extension, struct epb_buf *found)
{
    bool needs_slash =
        folder.size > 0 && strchr("\\/", folder.text[folder.size - 1]) == NULL;

    epb_buf_truncate(found, epb_buf_size(found));
    enum epb_status status = epb_buf_printf(found, "%.*s%s%s%.*s", (int)folder.size,
                                            folder.text, needs_slash ? "\\" : "", name,
                                            (int)extension.size, extension.text);
    if (status == EPB_OK) {
        status = epb_buf_append(found, "", 1);
    }
    if (status != EPB_OK) {
        return status;
    }
    return search->is_file(search->context, (const char *)epb_buf_data(found))
               ? EPB_OK
               : EPB_NOT_FOUND;
}

static bool
has_dot(const char *name)
{
    const char *last = name + strlen(name);

    while (last > name && strchr("\\/:", last[-1]) == NULL) {
        last--;
    }
    return strchr(last, '.') != NULL;
}

static enum epb_status
try_folder(const struct epb_windows_search *search, struct part folder, const char *name,
           struct epb_buf *found)
{
    const char *extensions = search->extensions;
    enum epb_status status = EPB_NOT_FOUND;

    if (extensions == NULL || *extensions == '\0') {
        extensions = USUAL_EXTENSIONS;
    }
    if (has_dot(name)) {
        status = try_file(search, folder, name, (struct part){"", 0}, found);
    }
    while (status == EPB_NOT_FOUND && *extensions != '\0') {
        struct part extension = next_part(&extensions);
        if (can_start(extension)) {
            status = try_file(search, folder, name, extension, found);
        }
    }
    return status;
}

enum epb_status
epb_windows_find(const struct epb_windows_search *search, const char *name,
                 struct epb_buf *found)
{
    const char *path = search->path == NULL ? "" : search->path;
    enum epb_status status = EPB_NOT_FOUND;

    if (*name == '\0') {
        return EPB_NOT_FOUND;
    }
    if (strpbrk(name, "\\/:") != NULL) {
        return try_folder(search, (struct part){"", 0}, name, found);
    }
    while (status == EPB_NOT_FOUND && *path != '\0') {
        struct part folder = next_part(&path);
        if (folder.size > 0) {
            status = try_folder(search, folder, name, found);
        }
    }
    return status;
}
