// From the runner into a job and back, and the branch trace in between. Contract: job_state.hpp.
#include "layout.h"
        .machine power8
        .abiversion 2

#define FRAME_BYTES 512
#define FRAME_CR (8 + FRAME_BYTES)
#define FRAME_LR (16 + FRAME_BYTES)
#define FRAME_TOC 24
#define FRAME_GPR(n) (64 + (n) * 8)


        .text
        .globl  start_runner
start_runner:
        lis     %r2, .TOC.@ha
        addi    %r2, %r2, .TOC.@l
        lis     %r1, runner_stack_top@ha
        addi    %r1, %r1, runner_stack_top@l
        li      %r0, 0
        std     %r0, 0(%r1)
        bl      runner_main
        trap

// enter_job(r3 entry registers, r4 exit registers, r5 entry point, r6 decrementer)
        .globl  enter_job
        .type   enter_job, @function
enter_job:
        mflr    %r0
        std     %r0, 16(%r1)
        mfcr    %r0
        std     %r0, 8(%r1)
        stdu    %r1, -FRAME_BYTES(%r1)
        std     %r2, FRAME_TOC(%r1)
.irp n, 14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
        std     %r\n, FRAME_GPR(\n)(%r1)
.endr
        std     %r1, STATE_RUNNER_STACK(0)
        std     %r4, STATE_EXIT_REGISTERS(0)

        mtsrr0  %r5
        li      %r7, 1
        sldi    %r7, %r7, MSR_SF_SHIFT
        oris    %r7, %r7, MSR_VEC_VSX
        ld      %r8, STATE_JOB_MSR(0)
        or      %r7, %r7, %r8
        mtsrr1  %r7

        // What problem state can write, but no Registers carries: a known state for every job.
        li      %r7, 0
        mtspr   SPR_VRSAVE, %r7
        mtspr   SPR_TAR, %r7
        mtspr   SPR_DSCR, %r7
        mtspr   SPR_AMR, %r7
        li      %r8, STATE_CTR
        stdcx.  %r7, 0, %r8             // drops a reservation that the last job may have left
        vxor    %v0, %v0, %v0
        mtvscr  %v0
        xxlxor  %vs0, %vs0, %vs0
        mtfsf   0xff, %f0, 1, 0
.irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
        xxlxor  %vs\n, %vs\n, %vs\n     // the half of the VSR that is not the FPR
        lfd     %f\n, REGISTERS_FPR(\n)(%r3)
.endr
.irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
        li      %r7, REGISTERS_VR(\n)
        lxvd2x  \n + 32, %r3, %r7       // {most, least} significant doubleword in either byte order
.endr
        ld      %r7, REGISTERS_CTR(%r3)
        std     %r7, STATE_CTR(0)
        ld      %r7, STATE_RESUME(0)
        mtctr   %r7
        ld      %r7, REGISTERS_LR(%r3)
        mtlr    %r7
        ld      %r7, REGISTERS_XER(%r3)
        mtxer   %r7
        lwz     %r7, REGISTERS_CR(%r3)
        mtcr    %r7
        ld      %r7, REGISTERS_GPR(3)(%r3)
        std     %r7, STATE_R3(0)
        mtspr   SPR_DEC, %r6
.irp n, 0,1,2,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
        ld      %r\n, REGISTERS_GPR(\n)(%r3)
.endr
        bctr

// The last step into a job. In memory: its r3 and CTR. What runs at an alias of its address is on one
// page, this and the branch trace.
        .section .resume, "ax"
        .globl  resume_job
resume_job:
        ld      %r3, STATE_CTR(0)
        mtctr   %r3
        ld      %r3, STATE_R3(0)
        .globl  resume_job_rfid
resume_job_rfid:
        rfid

// An instruction of a job that is watched step by step: SRR0 is the next one. Writes a Step and goes on
// as after a branch. In memory: r3, CFAR and CTR.
        .globl  trace_step
trace_step:
        std     %r4, STATE_R4(0)
        std     %r5, STATE_R5(0)
        mfcr    %r4
        std     %r4, STATE_CR(0)
        ld      %r5, STATE_STEPS(0)
        addi    %r4, %r5, 1
        std     %r4, STATE_STEPS(0)
        ld      %r4, STATE_STEPS_SKIPPED(0)
        cmpld   %r5, %r4
        blt     2f
        ld      %r5, STATE_STEP_NEXT(0)
        ld      %r4, STATE_STEP_END(0)
        cmpld   %r5, %r4
        bge     2f
.irp n, 0,1,2,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
        std     %r\n, STEP_GPR(\n)(%r5)
.endr
        ld      %r4, STATE_R3(0)
        std     %r4, STEP_GPR(3)(%r5)
        ld      %r4, STATE_R4(0)
        std     %r4, STEP_GPR(4)(%r5)
        ld      %r4, STATE_R5(0)
        std     %r4, STEP_GPR(5)(%r5)
        mfsrr0  %r4
        std     %r4, STEP_ADDRESS(%r5)
        mflr    %r4
        std     %r4, STEP_LR(%r5)
        ld      %r4, STATE_CTR(0)
        std     %r4, STEP_CTR(%r5)
        mfxer   %r4
        std     %r4, STEP_XER(%r5)
        ld      %r4, STATE_CR(0)
        std     %r4, STEP_CR(%r5)
        ld      %r3, STATE_CFAR(0)
        ld      %r4, STATE_RESUME_RFID(0)
        cmpld   %r3, %r4
        bne     1f
        li      %r3, 0                  // no branch since the last step
1:      std     %r3, STEP_FROM(%r5)
        addi    %r5, %r5, STEP_BYTES
        std     %r5, STATE_STEP_NEXT(0)
2:      mfsrr0  %r3                     // is this where stepping pauses?
        ld      %r4, STATE_UNSTEPPED_BEGIN(0)
3:      ld      %r5, STATE_UNSTEPPED_END(0)
        cmpld   %r4, %r5
        li      %r5, MSR_SE
        bge     4f
        ld      %r5, 0(%r4)
        addi    %r4, %r4, 8
        cmpld   %r3, %r5
        bne     3b
        li      %r5, MSR_BE
4:      mfsrr1  %r3
        rldicl  %r3, %r3, 53, 2         // clears SE and BE: rotates them to bits 0 and 1, and back
        rotldi  %r3, %r3, 11
        or      %r3, %r3, %r5
        mtsrr1  %r3
        ld      %r4, STATE_CR(0)
        mtcr    %r4
        ld      %r4, STATE_R4(0)
        ld      %r5, STATE_R5(0)
        b       trace_branch

// A branch of the job. In memory: its r3, CFAR and CTR. Nothing of the job may change.
        .globl  trace_branch
trace_branch:
        std     %r4, STATE_R4(0)
        std     %r5, STATE_R5(0)
        mfcr    %r4
        std     %r4, STATE_CR(0)
        ld      %r3, STATE_CFAR(0)
        ld      %r4, STATE_RESUME_RFID(0)
        cmpld   %r3, %r4
        beq     3f                      // not taken: the last real branch is the rfid before the job
        ld      %r4, STATE_TAKEN_BRANCHES(0)
        rlwinm  %r5, %r4, RING_ENTRY_SHIFT, 32 - RING_ENTRY_SHIFT - RING_ENTRIES_SHIFT, \
                31 - RING_ENTRY_SHIFT
        addi    %r4, %r4, 1
        std     %r4, STATE_TAKEN_BRANCHES(0)
        mflr    %r4
        std     %r3, STATE_RING + BRANCH_FROM(%r5)
        std     %r4, STATE_RING + BRANCH_LINK(%r5)
        addi    %r3, %r3, 4
        cmpld   %cr1, %r3, %r4          // a call
        mfsrr0  %r3
        std     %r3, STATE_RING + BRANCH_TO(%r5)
        cmpld   %cr0, %r3, %r4          // a return
        cror    2, 2, 6                 // CR0[EQ] |= CR1[EQ]
        cmpld   %cr1, %r3, %r12         // to where r12 points: a tail call, if it is none of these
        cror    2, 2, 6
        bne     3f

        ld      %r5, STATE_TRACE_EVENTS(0)
        addi    %r5, %r5, 1
        std     %r5, STATE_TRACE_EVENTS(0)
        ld      %r5, STATE_TRACE_NEXT(0)
        ld      %r4, STATE_TRACE_END(0)
        cmpld   %r5, %r4
        bge     3f
        std     %r3, BRANCH_TO(%r5)
        mflr    %r4
        std     %r4, BRANCH_LINK(%r5)
        ld      %r4, STATE_CFAR(0)
        std     %r4, BRANCH_FROM(%r5)
        addi    %r5, %r5, BRANCH_BYTES
        std     %r5, STATE_TRACE_NEXT(0)
3:      ld      %r4, STATE_CR(0)
        mtcr    %r4
        ld      %r4, STATE_R4(0)
        ld      %r5, STATE_R5(0)
        b       resume_job

        .text
// Any other interrupt. In memory: r3 and CFAR; r3 = the vector. Ends enter_job(), unless it is none
// of the job's doing.
        .globl  leave_job
leave_job:
        std     %r3, STATE_VECTOR(0)
        std     %r4, STATE_R4(0)
        mfcr    %r4
        mfsrr1  %r3
        andi.   %r3, %r3, MSR_PR
        beq     interrupted_runner
        ld      %r3, STATE_EXIT_REGISTERS(0)
        stw     %r4, REGISTERS_CR(%r3)
.irp n, 0,1,2,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
        std     %r\n, REGISTERS_GPR(\n)(%r3)
.endr
        ld      %r4, STATE_R3(0)
        std     %r4, REGISTERS_GPR(3)(%r3)
        ld      %r4, STATE_R4(0)
        std     %r4, REGISTERS_GPR(4)(%r3)
        mflr    %r4
        std     %r4, REGISTERS_LR(%r3)
        mfctr   %r4
        std     %r4, REGISTERS_CTR(%r3)
        mfxer   %r4
        std     %r4, REGISTERS_XER(%r3)
        mfsrr0  %r4
        std     %r4, STATE_SRR0(0)
        mfsrr1  %r4
        std     %r4, STATE_SRR1(0)
        mfspr   %r4, SPR_DAR
        std     %r4, STATE_DAR(0)
        mfspr   %r4, SPR_DSISR
        std     %r4, STATE_DSISR(0)
        li      %r4, 1
        sldi    %r4, %r4, MSR_SF_SHIFT
        oris    %r4, %r4, MSR_VEC_VSX
        ori     %r4, %r4, RUNNER_MSR_LOW
        mtmsrd  %r4
        isync
.irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
        stfd    %f\n, REGISTERS_FPR(\n)(%r3)
        li      %r4, REGISTERS_VR(\n)
        stxvd2x \n + 32, %r3, %r4
.endr
        ld      %r1, STATE_RUNNER_STACK(0)
        ld      %r3, STATE_VECTOR(0)
        ld      %r2, FRAME_TOC(%r1)
.irp n, 14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
        ld      %r\n, FRAME_GPR(\n)(%r1)
.endr
        ld      %r0, FRAME_LR(%r1)
        mtlr    %r0
        ld      %r0, FRAME_CR(%r1)
        mtcr    %r0
        addi    %r1, %r1, FRAME_BYTES
        blr

// An interrupt outside a job. While the runner sleeps in sleep_until_interrupt() that is what it waits
// for: it goes on behind its hypercall, with interrupts off again. Otherwise the runner is broken.
// r4 = CR, in memory: r3, r4, the vector.
interrupted_runner:
        mfsrr0  %r3
        std     %r5, STATE_R5(0)
        lis     %r5, awake@ha
        addi    %r5, %r5, awake@l
        cmpld   %r3, %r5
        bne     1f
        mfsrr1  %r3
        rldicl  %r3, %r3, 48, 1         // clears EE: rotates it to bit 0, masks it, rotates back
        rotldi  %r3, %r3, 16
        mtsrr1  %r3
        mtcr    %r4
        ld      %r5, STATE_R5(0)
        ld      %r4, STATE_R4(0)
        ld      %r3, STATE_R3(0)
        rfid
1:      lis     %r1, panic_stack_top@ha
        addi    %r1, %r1, panic_stack_top@l
        lis     %r2, .TOC.@ha
        addi    %r2, %r2, .TOC.@l
        ld      %r3, STATE_VECTOR(0)
        mfsrr0  %r4
        mfsrr1  %r5
        mflr    %r6
        bl      panic
        trap

// sleep_until_interrupt(r3 = number of the H_CEDE hypercall)
        .globl  sleep_until_interrupt
        .type   sleep_until_interrupt, @function
sleep_until_interrupt:
        sc      1                       // turns MSR[EE] on
awake:  li      %r4, MSR_RI
        mtmsrd  %r4, 1                  // and this turns it off, should the hypercall come back by itself
        blr
