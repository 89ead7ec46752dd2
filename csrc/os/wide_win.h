/* Texts of Windows: UTF-16 there, WTF-8 here, so that names with half a surrogate pair
 * survive. Results may hold secrets: free them with epb_mem_free, which wipes. */
#ifndef EPB_OS_WIDE_WIN_H
#define EPB_OS_WIDE_WIN_H

#include <wchar.h>

/* NULL: memory is out, or the text is malformed. */
wchar_t *
epb_wide_from(const char *text);
char *
epb_wide_to(const wchar_t *wide);

#endif
