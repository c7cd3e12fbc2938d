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
        beq     4f                      // not taken: the last real branch is the rfid before the job
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
        ld      %r4, STATE_CTR(0)       // to where r12 points, or CTR: a tail call, if it is none of
        ld      %r5, STATE_CTR_JUMPS(0) // these
        and     %r4, %r4, %r5
        andc    %r5, %r12, %r5
        or      %r4, %r4, %r5
        cmpld   %cr1, %r3, %r4
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

// Not taken. Is the next instruction a store conditional that this interrupt robs of its reservation?
4:      ld      %r4, STATE_GUARDED_BEGIN(0)
        ld      %r5, STATE_GUARDED_END(0)
        cmpld   %r4, %r5
        beq     3b
        std     %r6, STATE_R6(0)
        std     %r7, STATE_R7(0)
        // They are sorted, and may be a million: the job's budget is for the job.
        subf    %r5, %r4, %r5
        li      %r6, GUARDED_BYTES
        divdu   %r5, %r5, %r6           // so many from r4 on
        mfsrr0  %r3
5:      srdi    %r6, %r5, 1
        mulli   %r6, %r6, GUARDED_BYTES
        add     %r6, %r4, %r6           // the one in the middle
        ld      %r7, GUARDED_ADDRESS(%r6)
        cmpld   %r3, %r7
        beq     1f
        srdi    %r7, %r5, 1
        blt     2f
        addi    %r4, %r6, GUARDED_BYTES
        subf    %r7, %r7, %r5
        addi    %r7, %r7, -1
2:      mr      %r5, %r7
        cmpldi  %r5, 0
        bne     5b
        ld      %r6, STATE_R6(0)
        ld      %r7, STATE_R7(0)
        b       3b
1:      mr      %r4, %r6
        ld      %r6, STATE_R6(0)
        ld      %r7, STATE_R7(0)
        // What ran last without a taken branch began where the last one went (or the job did). Only if
        // the reservation is part of it, there is one.
        ld      %r3, STATE_TAKEN_BRANCHES(0)
        addi    %r3, %r3, -1
        rlwinm  %r3, %r3, RING_ENTRY_SHIFT, 32 - RING_ENTRY_SHIFT - RING_ENTRIES_SHIFT, \
                31 - RING_ENTRY_SHIFT
        ld      %r3, STATE_RING + BRANCH_TO(%r3)
        ld      %r5, GUARDED_RESERVATION(%r4)
        cmpld   %r3, %r5
        bgt     3b

        // rfid ends a reservation, too, so the store cannot be left to the job: do both for it here. A
        // fault of the store is one of the job: what leave_job needs for that is in memory.
        ld      %r5, GUARDED_WORD(%r4)
        mfsrr0  %r4
        std     %r4, STATE_SRR0(0)
        mfsrr1  %r4
        std     %r4, STATE_SRR1(0)
        ld      %r3, STATE_EXIT_REGISTERS(0)
.irp n, 0,1,2,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
        std     %r\n, REGISTERS_GPR(\n)(%r3)
.endr
        ld      %r4, STATE_R3(0)
        std     %r4, REGISTERS_GPR(3)(%r3)
        ld      %r4, STATE_R4(0)
        std     %r4, REGISTERS_GPR(4)(%r3)
        ld      %r4, STATE_R5(0)
        std     %r4, REGISTERS_GPR(5)(%r3)
        rlwinm. %r4, %r5, 19, 24, 28    // RA * 8
        beq     7f                      // the number 0, not r0
        ldx     %r4, %r3, %r4
7:      rlwinm  %r6, %r5, 24, 24, 28    // RB * 8
        ldx     %r6, %r3, %r6
        add     %r4, %r4, %r6
        rlwinm  %r6, %r5, 14, 24, 28    // RS * 8
        ldx     %r6, %r3, %r6
        andi.   %r5, %r5, GUARDED_WORD_IS_STDCX
        mfmsr   %r5
        ori     %r5, %r5, MSR_DR
        mtmsrd  %r5
        isync
        .globl  store_for_job
store_for_job:
        bne     8f
        lwarx   %r7, 0, %r4
        stwcx.  %r6, 0, %r4
        b       9f
8:      ldarx   %r7, 0, %r4
        stdcx.  %r6, 0, %r4
        .globl  store_for_job_end
store_for_job_end:
9:      xori    %r5, %r5, MSR_DR
        mtmsrd  %r5
        isync
        mfcr    %r4                     // CR0: whether it stored
        ld      %r5, STATE_CR(0)
        rlwimi  %r5, %r4, 0, 0, 3
        std     %r5, STATE_CR(0)
        mfsrr0  %r4
        addi    %r4, %r4, 4
        mtsrr0  %r4
        ld      %r6, REGISTERS_GPR(6)(%r3)
        ld      %r7, REGISTERS_GPR(7)(%r3)
        mfsrr1  %r4
        andi.   %r4, %r4, MSR_SE
        beq     3b
        ld      %r4, STATE_CR(0)        // the store was a step like any other
        mtcr    %r4
        ld      %r4, STATE_R4(0)
        ld      %r5, STATE_R5(0)
        b       trace_step

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
// for: it goes on after its hypercall, with interrupts off again. In what the branch trace does for a
// job it is a fault of that job. Otherwise the runner is broken.
// r4 = CR, in memory: r3, r4, the vector.
interrupted_runner:
        mfsrr0  %r3
        rldicl  %r3, %r3, 0, 4          // the branch trace runs at an alias
        std     %r5, STATE_R5(0)
        li      %r5, store_for_job@l
        cmpld   %r3, %r5
        blt     2f
        li      %r5, store_for_job_end@l
        cmpld   %r3, %r5
        blt     fault_for_job
2:      lis     %r5, awake@ha
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

// The store conditional of a job went wrong: leave_job finds everything as if the job had done it.
// In memory: the vector, SRR0, SRR1, CR and CTR of the job, and its registers in what it exits with.
fault_for_job:
        ld      %r3, STATE_SRR0(0)
        mtsrr0  %r3
        ld      %r3, STATE_SRR1(0)
        mtsrr1  %r3
        ld      %r3, STATE_RESUME_RFID(0)
        std     %r3, STATE_CFAR(0)
        ld      %r3, STATE_CTR(0)
        mtctr   %r3
        ld      %r4, STATE_CR(0)
        mtcr    %r4
        ld      %r3, STATE_EXIT_REGISTERS(0)
        ld      %r4, REGISTERS_GPR(3)(%r3)
        std     %r4, STATE_R3(0)
.irp n, 4,5,6,7
        ld      %r\n, REGISTERS_GPR(\n)(%r3)
.endr
        ld      %r3, STATE_VECTOR(0)
        b       leave_job

// sleep_until_interrupt(r3 = number of the H_CEDE hypercall)
        .globl  sleep_until_interrupt
        .type   sleep_until_interrupt, @function
sleep_until_interrupt:
        sc      1                       // turns MSR[EE] on
awake:  li      %r4, MSR_RI
        mtmsrd  %r4, 1                  // and this turns it off, should the hypercall come back by itself
        blr
