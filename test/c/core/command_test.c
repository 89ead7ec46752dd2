#include <criterion/criterion.h>

#include "core/command.h"
#include "core/stats.h"
#include "helpers.h"
#include "wire/frame.h"

static struct epb_request
request_for(const struct epb_command *command)
{
    struct epb_request request = {
        .action = command->action, .flags = command->needs & EPB_NUMBER_FLAGS, .id = 1};

    if ((command->needs & EPB_HAS_KEY) != 0) {
        request.key = bytes_of("key");
    }
    if ((command->needs & EPB_HAS_VALUE) != 0) {
        request.value = bytes_of("1");
    }
    if ((command->needs & EPB_HAS_WORKER) != 0) {
        request.worker = bytes_of("worker");
    }
    return request;
}

static enum epb_status
check(const struct epb_request *request)
{
    return epb_command_check(epb_command_find(request->action), request);
}

Test(command, is_found_by_number_and_by_name)
{
    unsigned known = 0;

    for (unsigned i = 0; i < epb_command_count(); i++) {
        const struct epb_command *command = epb_command_at(i);

        cr_assert_eq(epb_command_find(command->action), command);
        cr_assert_eq(epb_command_by_name(bytes_of(command->name)), command);
        cr_assert_not_null(command->run);
        cr_assert_lt(command->action, EPB_ACTION_SLOTS);
    }
    for (unsigned action = 0; action < 1000; action++) {
        known += epb_command_find(action) != NULL;
    }
    cr_assert_eq(known, epb_command_count());
    cr_assert_str_eq(epb_command_find(EPB_ACTION_GET_ENTRY)->name, "getEntry");
    cr_assert_null(epb_command_find(EPB_FRAME_PIPE_PAIR), "a frame of sessions");
    cr_assert_null(epb_command_by_name(bytes_of("")));
    cr_assert_null(epb_command_by_name(bytes_of("ge")));
    cr_assert_null(epb_command_by_name(bytes_of("gett")));
    cr_assert_null(epb_command_by_name(bytes_of("GET")));
}

Test(command, a_request_that_may_wait_can_be_finished)
{
    for (unsigned i = 0; i < epb_command_count(); i++) {
        const struct epb_command *command = epb_command_at(i);
        bool waits = ((command->needs | command->takes) & EPB_F_WAIT) != 0;

        cr_assert_eq(command->finish != NULL, waits, "%s", command->name);
    }
}

Test(command, names_of_members_are_of_fields_that_the_row_takes)
{
    static const struct {
        uint32_t names;
        uint32_t field;
    } fields[] = {
        {EPB_AS_PREFIX, EPB_HAS_KEY},
        {EPB_AS_BY | EPB_AS_LIMIT | EPB_AS_PARTIES | EPB_AS_COUNT | EPB_AS_TARGET,
         EPB_F_COUNT},
        {EPB_AS_FENCE, EPB_F_FENCE},
        {EPB_AS_PERIOD | EPB_AS_REFRESH, EPB_F_PERIOD},
        {EPB_AS_REPLACE, EPB_F_FORCE},
        {EPB_AS_VALUES | EPB_AS_HOLDING | EPB_AS_REASON, EPB_HAS_VALUE},
    };

    for (unsigned i = 0; i < epb_command_count(); i++) {
        const struct epb_command *command = epb_command_at(i);

        for (size_t j = 0; j < sizeof(fields) / sizeof(fields[0]); j++) {
            cr_assert((command->names & fields[j].names) == 0 ||
                          ((command->needs | command->takes) & fields[j].field) != 0,
                      "%s %x", command->name, fields[j].names);
        }
    }
}

Test(command, every_row_takes_what_it_needs)
{
    for (unsigned i = 0; i < epb_command_count(); i++) {
        struct epb_request request = request_for(epb_command_at(i));

        cr_assert_eq(check(&request), EPB_OK, "%s", epb_command_at(i)->name);
    }
}

Test(command, every_row_refuses_what_it_does_not_take)
{
    for (unsigned i = 0; i < epb_command_count(); i++) {
        const struct epb_command *command = epb_command_at(i);
        uint32_t known = command->needs | command->takes;

        for (uint32_t flag = 1; flag < 0x10000; flag <<= 1) {
            struct epb_request request = request_for(command);

            request.flags |= flag;
            request.ttl_ms = 1;
            cr_assert_eq(check(&request),
                         (known & flag) != 0 ? EPB_OK : EPB_INVALID_REQUEST, "%s %x",
                         command->name, flag);
        }
        struct epb_request request = request_for(command);

        request.worker = bytes_of("w");
        if ((known & EPB_HAS_WORKER) == 0) {
            cr_assert_eq(check(&request), EPB_INVALID_REQUEST, "%s", command->name);
        }
        request = request_for(command);
        request.value = bytes_of("1");
        if ((known & EPB_HAS_VALUE) == 0) {
            cr_assert_eq(check(&request), EPB_INVALID_REQUEST, "%s", command->name);
        }
        request = request_for(command);
        request.key = bytes_of("k");
        if ((known & EPB_HAS_KEY) == 0) {
            cr_assert_eq(check(&request), EPB_INVALID_REQUEST, "%s", command->name);
        }
    }
}

Test(command, keys_are_1_to_512_bytes_of_utf8)
{
    static char longest[EPB_KEY_MAX_BYTES + 2];
    struct epb_request request = request_for(epb_command_find(EPB_ACTION_GET));

    request.key = bytes_of("");
    cr_assert_eq(check(&request), EPB_INVALID_KEY);
    memset(longest, 'k', EPB_KEY_MAX_BYTES);
    request.key = bytes_of(longest);
    cr_assert_eq(check(&request), EPB_OK);
    longest[EPB_KEY_MAX_BYTES] = 'k';
    request.key = bytes_of(longest);
    cr_assert_eq(check(&request), EPB_INVALID_KEY);
    request.key = bytes_of("\xED\xA0\x80");
    cr_assert_eq(check(&request), EPB_INVALID_KEY);
    request.key = (struct epb_bytes){(const uint8_t *)"\0", 1};
    cr_assert_eq(check(&request), EPB_OK);
}

Test(command, a_missing_key_weighs_more_than_a_missing_value)
{
    struct epb_request request = {.action = EPB_ACTION_SET};

    cr_assert_eq(check(&request), EPB_INVALID_KEY);
    request.key = bytes_of("key");
    cr_assert_eq(check(&request), EPB_INVALID_VALUE);
    request.flags = EPB_F_BINARY;
    cr_assert_eq(check(&request), EPB_OK, "no bytes at all are a value");
}

Test(command, a_missing_worker_id_has_errors_of_its_own)
{
    struct epb_request request = request_for(epb_command_find(EPB_ACTION_LEASE));

    request.worker = bytes_of("");
    cr_assert_eq(check(&request), EPB_KEY_AND_WORKER_REQUIRED);
    request.key = bytes_of("");
    cr_assert_eq(check(&request), EPB_KEY_AND_WORKER_REQUIRED);
    request.worker = bytes_of("w");
    cr_assert_eq(check(&request), EPB_KEY_AND_WORKER_REQUIRED);
    request.key = bytes_of("\xED\xA0\x80");
    cr_assert_eq(check(&request), EPB_INVALID_KEY);
    request = request_for(epb_command_find(EPB_ACTION_WAIT_FOR));
    request.key = bytes_of("");
    cr_assert_eq(check(&request), EPB_INVALID_KEY);
    request = request_for(epb_command_find(EPB_ACTION_WAIT_FOR));
    request.flags = 0;
    cr_assert_eq(check(&request), EPB_INVALID_REQUEST, "a number that it needs");
}

Test(command, worker_ids_are_up_to_256_bytes_of_utf8)
{
    static char longest[EPB_WORKER_MAX_BYTES + 2];
    struct epb_request request = request_for(epb_command_find(EPB_ACTION_LEASE));

    memset(longest, 'w', EPB_WORKER_MAX_BYTES);
    request.worker = bytes_of(longest);
    cr_assert_eq(check(&request), EPB_OK);
    longest[EPB_WORKER_MAX_BYTES] = 'w';
    request.worker = bytes_of(longest);
    cr_assert_eq(check(&request), EPB_INVALID_REQUEST);
    request.worker = bytes_of("\xED\xA0\x80");
    cr_assert_eq(check(&request), EPB_INVALID_REQUEST);
}

Test(command, numbers_are_exact_in_javascript)
{
    struct epb_request wait = request_for(epb_command_find(EPB_ACTION_WAIT_FOR));
    struct epb_request throttle = request_for(epb_command_find(EPB_ACTION_THROTTLE));

    wait.wait_ms = EPB_NUMBER_MAX;
    cr_assert_eq(check(&wait), EPB_OK);
    wait.wait_ms++;
    cr_assert_eq(check(&wait), EPB_INVALID_REQUEST);
    throttle.flags |= EPB_F_BURST | EPB_F_COST;
    throttle.period_ms = throttle.burst = throttle.cost = EPB_NUMBER_MAX;
    cr_assert_eq(check(&throttle), EPB_OK);
    throttle.period_ms++;
    cr_assert_eq(check(&throttle), EPB_INVALID_REQUEST);
    throttle.period_ms = 1;
    throttle.burst++;
    cr_assert_eq(check(&throttle), EPB_INVALID_REQUEST);
    throttle.burst = 1;
    throttle.cost++;
    cr_assert_eq(check(&throttle), EPB_INVALID_REQUEST);
}

Test(command, a_ttl_is_1_to_2_to_the_53_less_1)
{
    struct epb_request request = request_for(epb_command_find(EPB_ACTION_SET));

    request.flags = EPB_F_TTL;
    cr_assert_eq(check(&request), EPB_INVALID_TTL);
    request.ttl_ms = 1;
    cr_assert_eq(check(&request), EPB_OK);
    request.ttl_ms = EPB_NUMBER_MAX;
    cr_assert_eq(check(&request), EPB_OK);
    request.ttl_ms++;
    cr_assert_eq(check(&request), EPB_INVALID_TTL);
}
