#include <criterion/criterion.h>
#include <string.h>

#include "base/mem_testing.h"
#include "cli/windows_path.h"

/* Files, separated by "|". Windows compares names without regard to case. */
static bool
is_listed(void *context, const char *path)
{
    const char *at = context;

    while (*at != '\0') {
        size_t size = strcspn(at, "|");
        if (size == strlen(path) && strncasecmp(at, path, size) == 0) {
            return true;
        }
        at += size + (at[size] == '|' ? 1 : 0);
    }
    return false;
}

static void
assert_found(const char *files, const char *path, const char *extensions,
             const char *name, const char *expected)
{
    struct epb_windows_search search = {path, extensions, is_listed, (void *)files};
    struct epb_buf found;

    epb_buf_init(&found, 1024);
    enum epb_status status = epb_windows_find(&search, name, &found);
    cr_assert_eq(status, expected == NULL ? EPB_NOT_FOUND : EPB_OK, "%s", name);
    if (expected != NULL) {
        cr_assert_str_eq((const char *)epb_buf_data(&found), expected);
    }
    epb_buf_fini(&found);
}

Test(windows_path, folders_come_before_extensions)
{
    const char *files = "C:\\a\\npm|C:\\a\\npm.cmd|C:\\b\\npm.exe|C:\\b\\x.exe";

    assert_found(files, "C:\\a;C:\\b", ".COM;.EXE;.CMD", "npm", "C:\\a\\npm.CMD");
    assert_found(files, "C:\\b\\;C:\\a", ".EXE;.CMD", "npm", "C:\\b\\npm.EXE");
    assert_found(files, "C:\\a;;C:\\b", NULL, "x", "C:\\b\\x.EXE");
    assert_found(files, "C:\\a", NULL, "x", NULL);
    assert_found(files, NULL, NULL, "x", NULL);
    assert_found(files, "C:\\a", NULL, "", NULL);
}

Test(windows_path, the_order_of_extensions_counts)
{
    const char *files = "C:\\a\\x.exe|C:\\a\\x.bat|C:\\a\\x.js";

    assert_found(files, "C:\\a", ".BAT;.EXE", "x", "C:\\a\\x.BAT");
    assert_found(files, "C:\\a", ".JS;.exe", "x", "C:\\a\\x.exe");
    assert_found(files, "C:\\a", ".JS", "x", NULL);
    assert_found(files, "C:\\a", ".BAT", "x.exe", "C:\\a\\x.exe");
    assert_found(files, "C:\\a", ".EXE", "x.js", "C:\\a\\x.js");
    assert_found("C:\\a\\x.y.cmd", "C:\\a", "", "x.y", "C:\\a\\x.y.CMD");
}

Test(windows_path, paths_are_not_searched)
{
    const char *files = "C:\\a\\x.exe|.\\y.cmd|sub/z.exe|C:x.exe|x.exe";

    assert_found(files, "C:\\a", NULL, ".\\y", ".\\y.CMD");
    assert_found(files, "C:\\a", NULL, ".\\x", NULL);
    assert_found(files, "C:\\a", NULL, "sub/z", "sub/z.EXE");
    assert_found(files, "", NULL, "C:x", "C:x.EXE");
    /* The current folder. */
    assert_found(files, "", NULL, "x.exe", NULL);
}

Test(windows_path, folders_may_be_quoted)
{
    assert_found("C:\\a;b\\x.exe", "C:\\c;\"C:\\a;b\"", NULL, "x", "C:\\a;b\\x.EXE");
    assert_found("C:\\a\\x.exe", "\"\";\"C:\\a", NULL, "x", NULL);
}

Test(windows_path, a_lack_of_memory_is_reported)
{
    struct epb_windows_search search = {"C:\\a", NULL, is_listed, (void *)"C:\\a\\x.exe"};
    struct epb_buf found;

    epb_buf_init(&found, 1024);
    epb_mem_fail_after(1);
    cr_assert_eq(epb_windows_find(&search, "x", &found), EPB_INTERNAL);
    epb_mem_fail_after(0);
    epb_buf_fini(&found);
    epb_buf_init(&found, 4);
    cr_assert_eq(epb_windows_find(&search, "x", &found), EPB_TOO_LARGE);
    epb_buf_fini(&found);
}
