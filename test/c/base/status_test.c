#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

#include "base/status.h"

Test(status, numbers_are_dense_from_ok)
{
    const unsigned numbers[] = {
#define EPB_STATUS(number, name, wire, message) number,
#include "base/status.def"
#undef EPB_STATUS
    };

    cr_assert_eq(EPB_OK, 0);
    cr_assert_eq(epb_status_count(), sizeof(numbers) / sizeof(numbers[0]));
    for (unsigned i = 0; i < epb_status_count(); i++) {
        cr_assert_eq(numbers[i], i);
        cr_assert(epb_status_is_known(i));
    }
    cr_assert_not(epb_status_is_known(epb_status_count()));
    cr_assert_not(epb_status_is_known(255));
}

Test(status, every_row_has_its_own_name_and_a_sentence)
{
    for (unsigned i = 0; i < epb_status_count(); i++) {
        const char *name = epb_status_name((enum epb_status)i);
        const char *message = epb_status_message((enum epb_status)i);

        cr_assert_eq(strspn(name, "abcdefghijklmnopqrstuvwxyz_"), strlen(name), "%s",
                     name);
        cr_assert_eq(message[strlen(message) - 1], '.', "%s", message);
        for (unsigned j = 0; j < i; j++) {
            cr_assert_str_neq(name, epb_status_name((enum epb_status)j));
        }
    }
}

Test(status, names_are_those_on_the_wire)
{
    cr_assert_str_eq(epb_status_name(EPB_OK), "ok");
    cr_assert_str_eq(epb_status_name(EPB_NOT_FOUND), "not_found");
    cr_assert_str_eq(epb_status_name(EPB_KEY_AND_WORKER_REQUIRED),
                     "key_and_worker_required");
}

Test(status, unknown_numbers_read_as_internal)
{
    cr_assert_str_eq(epb_status_name((enum epb_status)200), "internal");
    cr_assert_str_eq(epb_status_message((enum epb_status)200),
                     epb_status_message(EPB_INTERNAL));
}

Test(status, a_failed_assertion_aborts, .signal = SIGABRT)
{
    int one = 1;

    EPB_ASSERT(one == 2);
}
