// Interrupt vectors. All interrupts arrive in real mode (LPCR[AIL] = 0) at these addresses.
#include "layout.h"
        .machine power8
        .abiversion 2

        .section .vectors, "ax"
        .globl  _start
        .org    0x100
_start:
        .incbin START_BE
        b       start_runner

// Every vector but the branch trace's: keep r3 and CFAR, which the first instructions would destroy,
// and say which vector it was.
.macro vector address
        .org    \address
        std     %r3, STATE_R3(0)
        mfspr   %r3, SPR_CFAR
        std     %r3, STATE_CFAR(0)
        li      %r3, \address
        b       leave_job
.endm

        vector  0x200           // machine check
        vector  0x300           // data storage
        vector  0x380           // data segment
        vector  0x400           // instruction storage
        vector  0x480           // instruction segment
        vector  VECTOR_EXTERNAL
        vector  0x600           // alignment
        vector  0x700           // program
        vector  0x800           // floating point unavailable
        vector  VECTOR_DECREMENTER
        vector  0x980           // hypervisor decrementer
        vector  0xa00           // doorbell
        vector  0xb00
        vector  0xc00           // system call

// Branch trace: the job took a branch (or came by one that it did not take) and goes on after this.
// The handler runs at an alias of its address, see wire::kResumePage.
        .org    VECTOR_TRACE
        std     %r3, STATE_R3(0)
        mfspr   %r3, SPR_CFAR
        std     %r3, STATE_CFAR(0)
        mfctr   %r3
        std     %r3, STATE_CTR(0)
        ld      %r3, STATE_TRACE_HANDLER(0)
        mtctr   %r3
        bctr

        vector  0xe00           // hypervisor data storage
        vector  0xe20           // hypervisor instruction storage
        vector  0xe40           // hypervisor emulation assistance
        vector  0xe60           // hypervisor maintenance
        vector  0xe80           // hypervisor doorbell
        vector  0xea0           // hypervisor virtualization
        vector  0xf00           // performance monitor
        vector  0xf20           // vector unavailable
        vector  0xf40           // VSX unavailable
        vector  0xf60           // facility unavailable
        vector  0xf80           // hypervisor facility unavailable
        vector  0x1500          // soft patch
        vector  0x1700          // vector assist
        .org    0x2000
