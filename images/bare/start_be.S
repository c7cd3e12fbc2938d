// The first instructions: QEMU enters the image at 0x100, 32-bit, big-endian, in real mode. This goes
// to 64-bit mode in the guest's byte order, right after itself. Assembled big-endian on its own and
// included by vectors.S as bytes.
#include "layout.h"
        .machine power8
        bcl     20, 31, 1f
1:      mflr    %r10
        addi    %r10, %r10, 2f - 1b
        li      %r11, 1
        sldi    %r11, %r11, MSR_SF_SHIFT
        oris    %r11, %r11, MSR_VEC_VSX
        ori     %r11, %r11, RUNNER_MSR_LOW
        mtsrr0  %r10
        mtsrr1  %r11
        rfid
2:
