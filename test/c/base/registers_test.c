/* What copying leaves in the processor's registers, which a core dump shows. */
#include <criterion/criterion.h>

#include "base/sys.h"

#if defined(__x86_64__)

#define REGISTERS 16

/* The lower halves, which every processor of this kind has. */
static void
store_registers(uint8_t out[REGISTERS][16])
{
    __asm__ __volatile__("movdqu %%xmm0, (%0)\n\tmovdqu %%xmm1, 16(%0)\n\t"
                         "movdqu %%xmm2, 32(%0)\n\tmovdqu %%xmm3, 48(%0)\n\t"
                         "movdqu %%xmm4, 64(%0)\n\tmovdqu %%xmm5, 80(%0)\n\t"
                         "movdqu %%xmm6, 96(%0)\n\tmovdqu %%xmm7, 112(%0)\n\t"
                         "movdqu %%xmm8, 128(%0)\n\tmovdqu %%xmm9, 144(%0)\n\t"
                         "movdqu %%xmm10, 160(%0)\n\tmovdqu %%xmm11, 176(%0)\n\t"
                         "movdqu %%xmm12, 192(%0)\n\tmovdqu %%xmm13, 208(%0)\n\t"
                         "movdqu %%xmm14, 224(%0)\n\tmovdqu %%xmm15, 240(%0)"
                         :
                         : "r"(out)
                         : "memory");
}

static void
fill_registers(const uint8_t pattern[16])
{
    __asm__ __volatile__("movdqu (%0), %%xmm0\n\tmovdqa %%xmm0, %%xmm1\n\t"
                         "movdqa %%xmm0, %%xmm7\n\tmovdqa %%xmm0, %%xmm8\n\t"
                         "movdqa %%xmm0, %%xmm15"
                         :
                         : "r"(pattern)
                         : "xmm0", "xmm1", "xmm7", "xmm8", "xmm15");
}

static unsigned
count_pattern(uint8_t held[REGISTERS][16], const uint8_t pattern[16])
{
    unsigned count = 0;

    for (unsigned i = 0; i < REGISTERS; i++) {
        count += memcmp(held[i], pattern, 16) == 0;
    }
    return count;
}

Test(registers, keep_nothing_once_they_are_wiped)
{
    static uint8_t pattern[16] = {"a secret, 15 ch"};
    static uint8_t held[REGISTERS][16];

    fill_registers(pattern);
    store_registers(held);
    cr_assert_eq(count_pattern(held, pattern), 5);
    fill_registers(pattern);
    epb_sys_wipe_registers();
    store_registers(held);
    cr_assert_eq(count_pattern(held, pattern), 0);
}

#endif
