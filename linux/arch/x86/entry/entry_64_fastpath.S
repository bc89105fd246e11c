/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The assembly fast path of entry_SYSCALL_64, and of system calls that come by
 * FRED's event delivery.
 *
 * It does what do_syscall_64() would do for a task without any work: dispatch,
 * store the result, leave by SYSRET or ERETU. pt_regs is complete all the time,
 * so that the slow path can take over wherever a test fails.
 *
 * What do_syscall_64() and the functions inlined into it do besides, and why
 * it need not be done here:
 *
 *  - Entry: lockdep, hardirq tracing, KMSAN, the checks of DEBUG_ENTRY; exit:
 *    the same. All are debugging options, which X86_SYSCALL_FASTPATH excludes.
 *  - Exit: what RSEQ_STATS and KMAP_LOCAL have there. With one of these C ends
 *    each call, by one of the functions syscall_64_*_return().
 *  - Context tracking at the entry, and at the exit the RCU work of
 *    tick_nohz_user_enter_prepare(): there syscall_64_dispatch() makes the call.
 *  - Context tracking at the exit: where it is on, for whatever CPUs, it is called.
 *  - Xen PV's IRET; rseq_debug_syscall_return(). The fast path is off where one
 *    is active, see syscall_fastpath_init() and syscall_fastpath_update().
 *  - fred_update_rsp0(): C does it if the task's stack is another than the CPU
 *    would take for the next event.
 *  - x32: its numbers are out of range, the slow path dispatches them.
 *  - Seccomp: a call that its filters allow whatever its arguments are passes as
 *    __seccomp_permit_syscall() would let it.
 *  - A slow path handler, where the task's group lets the call pass.
 *  - Other work at the entry: syscall_64_with_work() does that, makes the call, and
 *    does what work there is at the exit.
 *  - Work that comes meanwhile, the user return notifiers, the I/O bitmap, the FPU
 *    registers and unwind_reset_info(): any of the flags tested below leads to
 *    C. TIF_HRTIMER_REARM is for returns from interrupts only.
 *  - TS_COMPAT and TS_I386_REGS_POKED are clear: the task was in user mode
 *    when it came here, and nobody has written its registers since, or
 *    the C function that looked at the work says so.
 *  - For the same reason SYSRET will do: user CS and SS, RCX == RIP and R11 ==
 *    RFLAGS are what SYSCALL makes them; RF and TF are tested; and RIP follows
 *    an instruction that was just executed in user space, so it is canonical.
 *    System calls in which somebody may write the registers of the task have
 *    a qualifier in syscall_64.tbl. ERETU restores whatever pt_regs has.
 *  - IBRS, untraining and the branch history are done before; with FRED there is
 *    nothing to be done. What mitigations there are at exit is done in
 *    syscall_return_via_sysret, or here.
 */
#ifdef CONFIG_X86_SYSCALL_FASTPATH

#include <linux/stringify.h>

#include <asm/asm-offsets.h>
#include <asm/errno.h>
#include <asm/percpu.h>
#include <asm/processor-flags.h>
#include <asm/syscall_path.h>
#include <asm/trapnr.h>
#include <asm/unistd.h>

#include "syscall_fastpath_offsets.h"

/* Without these, work is for do_syscall_64(). */
#if defined(SYSCALL_WORK_HANDLER) || defined(SYSCALL_WORK_FILTERS)
#define CALLS_WITH_WORK
#endif

#ifdef CONFIG_X86_SYSCALL_PATH_STATS
/* Needs the task in %rbx. */
.macro COUNT_SYSCALL_PATH path
	incq	TASK_syscall_paths + 8 * \path(%rbx)
.endm
#else
.macro COUNT_SYSCALL_PATH path
.endm
#endif

.macro LOAD_CURRENT_TASK reg:req
	movq	PER_CPU_VAR(current_task), \reg
.endm

/*
 * Makes a system call number in %rsi that is out of range one whose bit below is
 * clear: a branch could be mispredicted.
 */
.macro CLAMP_SYSCALL_NUMBER
	movl	$__NR_exit, %ecx
	cmpq	$NR_syscalls, %rsi
	cmovaeq	%rcx, %rsi
.endm

/* Sets the carry flag if the system call number in %rsi may take the fast path. */
.macro TEST_SYSCALL_NUMBER
	CLAMP_SYSCALL_NUMBER
	btl	%esi, syscall_64_fast(%rip)
.endm

#ifdef CONFIG_FRAME_POINTER
#define PT_REGS_ENCODED	1
#else
#define PT_REGS_ENCODED	0
#endif

/*
 * Calls @function with the stack moved, as by add_random_kstack_offset(), and goes
 * @back. Each call takes the bits of an offset from a random word, and draws a new
 * one where none are left. RBP finds pt_regs meanwhile, for unwinders, too. With
 * IRQs off; @function runs, and returns, with IRQs on.
 */
.macro CALL_WITH_STACK_OFFSET function:req back:req can_be_lean=0
	movq	PER_CPU_VAR(syscall_64_offset_bits), %rax
.Lbits_\@:
	movl	%eax, %ecx
	shrq	$STACK_OFFSET_BITS, %rax
	jz	.Ldraw_\@
	movq	%rax, PER_CPU_VAR(syscall_64_offset_bits)
	andl	$STACK_OFFSET_MASK, %ecx
	leaq	PT_REGS_ENCODED(%rsp), %rbp
	UNWIND_HINT_REGS base=%rbp offset=-PT_REGS_ENCODED
	subq	%rcx, %rsp
	sti
	call	\function
	leaq	-PT_REGS_ENCODED(%rbp), %rsp
	UNWIND_HINT_REGS
	.if \can_be_lean
	ALTERNATIVE "xorl %ebp, %ebp", __stringify(movq RBP(%rsp), %rbp), \
		X86_FEATURE_SYSCALL_FAST_LEAN
	.else
	xorl	%ebp, %ebp	/* nospec rbp */
	.endif
	jmp	\back

.Ldraw_\@:
	call	syscall_64_draw_offset_bits
	movq	%rsp, %rdi
	movslq	ORIG_RAX(%rsp), %rsi
	CLAMP_SYSCALL_NUMBER
	jmp	.Lbits_\@
.endm

.macro PUSH_AND_CLEAR_SYSCALL_REGS
	PUSH_REGS rax=$-ENOSYS
	/* The number goes to %rsi next. */
	CLEAR_REGS clear_callee=0 clear_si=0
	ALTERNATIVE "CLEAR_CALLEE_REGS", "jmp .Lkept_\@", X86_FEATURE_SYSCALL_FAST_LEAN
.Lkept_\@:
.endm

/* The high half of struct fred_ss, as far as it says what has happened, in 64-bit code. */
#define FRED_SS_HIGH(vector, type)	((vector) | (type) << 16 | 1 << 25)
#define FRED_SYSCALL			1

/* Sets bits of @to, and clears ZF, unless RSP0 is where the frame of this event ends. */
.macro OR_FRED_STACK_CHANGED to:req scratch:req
	leaq	ORIG_RAX + 64(%rsp), \scratch
	subq	PER_CPU_VAR(fred_rsp0), \scratch
	orq	\scratch, \to
.endm

/*
 * Sets bits of @to, and clears ZF, unless the FPU has the task's registers: then C
 * has fpregs_assert_state_consistent() look. Needs the task in %rbx.
 */
.macro OR_FPU_STATE_INVALID to:req
#ifdef CONFIG_X86_DEBUG_FPU
	leaq	TASK_fpu(%rbx), %rdx
	xorq	PER_CPU_VAR(fpu_fpregs_owner_ctx), %rdx
	orq	%rdx, \to
	movl	TASK_fpu_last_cpu(%rbx), %edx
#ifdef CONFIG_SMP
	xorl	PER_CPU_VAR(cpu_number), %edx
#endif
	orq	%rdx, \to
#endif
.endm

/*
 * Makes the call, and looks at all that syscall_exit_to_user_mode() would look at:
 * sets bits of %rcx, and clears ZF, where C has to end the call. With @work, only
 * these bits of syscall_work are work for this exit.
 */
.macro CALL_ON_FASTPATH work suffix
	COUNT_SYSCALL_PATH SYSCALL_PATH_FAST
	ANNOTATE type=ANNOTYPE_INSTR_BEGIN
	ALTERNATIVE_2 "sti; call x64_sys_call", \
		"call syscall_64_dispatch", X86_FEATURE_SYSCALL_FAST_DISPATCH, \
		"jmp .Lfastpath_offset\suffix", X86_FEATURE_SYSCALL_FAST_OFFSET
.Lfastpath_called\suffix:
	ANNOTATE type=ANNOTYPE_INSTR_END
	cli

	/*
	 * After CLI, so that whoever sets a flag later sends an interrupt,
	 * which is taken in user mode.
	 */
	movl	$SYSCALL_FASTPATH_TI_FLAGS, %ecx
	andl	TASK_TI_flags(%rbx), %ecx
	.ifb \work
	orq	TASK_TI_syscall_work(%rbx), %rcx
	.else
	movl	$(\work), %edx
	andq	TASK_TI_syscall_work(%rbx), %rdx
	orq	%rdx, %rcx
	.endif
#ifdef CONFIG_UNWIND_USER
	orq	TASK_unwind_mask(%rbx), %rcx
#endif
	OR_FPU_STATE_INVALID %rcx
.endm

/* Ends that call: in assembly where nothing is left, or by syscall_64_@by_c_return(). */
.macro END_ON_FASTPATH fred:req exit:req by_c:req mitigated:req
	.if \fred
	OR_FRED_STACK_CHANGED %rcx, %rdx
	ALTERNATIVE "jmp .Lfastpath_\by_c\()_return", \
		"jnz .Lfastpath_\by_c\()_return", X86_FEATURE_SYSCALL_FAST_EXIT
	movq	%rax, RAX(%rsp)
	jmp	\exit
	.else
	ALTERNATIVE_2 "jz .Lfastpath_exit", \
		"jz .Lfastpath_lean_exit", X86_FEATURE_SYSCALL_FAST_LEAN, \
		"jz \mitigated", ALT_NOT(X86_FEATURE_SYSCALL_FAST_EXIT)
	.endif

.Lfastpath_\by_c\()_return:
	movq	%rax, RAX(%rsp)
	movq	%rsp, %rdi
	call	syscall_64_\by_c\()_return	/* returns with IRQs disabled */
	jmp	\exit
.endm

/*
 * Goes to @ask unless the task's group lets the call with the clamped number in %rsi
 * be made without its hooks. Counts it, with IRQs off, so that neither the group nor
 * what it points to goes: syscall_slowpath_defer() waits for that.
 */
.macro TEST_PASS ask:req
	/* RCU may not be watching there. */
	ALTERNATIVE __stringify(movq TASK_syscall_slowpath(%rbx), %rcx), "jmp \ask", \
		X86_FEATURE_SYSCALL_FAST_DISPATCH
	/* It may have left a moment ago, or be in none, and forced. */
	testq	%rcx, %rcx
	jz	\ask
	movq	GROUP_pass(%rcx), %rdx
	testq	%rdx, %rdx
	jz	\ask
	/* One that was killed makes no more calls. */
	cmpq	$0, TASK_syscall_slowpath_saved(%rbx)
	jne	\ask
	movq	PASS_lines(%rdx), %rax
	movswq	(%rax, %rsi, 2), %rax
	testq	%rax, %rax
	js	\ask
	movq	PASS_hits(%rdx), %rcx
	incq	%gs:(%rcx, %rax, 8)
	movq	PASS_made(%rdx), %rcx
	incq	%gs:(%rcx)
.endm

/*
 * Goes to @ask unless seccomp's filters allow the call with the clamped number in %rsi
 * whatever its arguments. The newest filter knows of those before it. Another thread may
 * put one in its place, as it may behind the look that C takes.
 */
.macro TEST_FILTERS ask:req
	cmpl	$SECCOMP_FILTER_MODE, TASK_seccomp_mode(%rbx)
	jne	\ask
	movq	TASK_seccomp_filter(%rbx), %rcx
	testq	%rcx, %rcx
	jz	\ask
	btl	%esi, (%rcx)
	jnc	\ask
.endm

/* Goes off the fast path, with %rsi clamped, unless flags and number allow it. */
.macro TEST_FLAGS_AND_NUMBER fred:req
	.if !\fred
	testl	$(X86_EFLAGS_TF | X86_EFLAGS_RF), EFLAGS(%rsp)
	jnz	.Lfastpath_slow_flags
	.endif
	TEST_SYSCALL_NUMBER
	jnc	.Lfastpath_slow_number
.endm

/* Has C do the work of the task, and make the call in between, by @function. */
.macro CALL_WITH_WORK function:req suffix:req
	/* "lean" is not for this. */
	ALTERNATIVE "jmp .Lfastpath_cleared\suffix", \
		"CLEAR_CALLEE_REGS", X86_FEATURE_SYSCALL_FAST_LEAN
	LOAD_CURRENT_TASK %rbx
.Lfastpath_cleared\suffix:
	ALTERNATIVE_2 "sti; call \function", \
		"call syscall_64_dispatch_with_work", X86_FEATURE_SYSCALL_FAST_DISPATCH, \
		"jmp .Lfastpath_offset\suffix", X86_FEATURE_SYSCALL_FAST_OFFSET
.Lfastpath_called\suffix:
	cli
.endm

/*
 * Follows the mitigations of the entry, with %rdi the pt_regs and %rsi the sign
 * extended system call number, IRQs off. Falls through with both unchanged if
 * the call is to be made by do_syscall_64(); jumps to @exit, like a return from
 * that, with IRQs off, when it was made here and C has to end it. Where nothing
 * has to be done any more it goes on in SYSCALL_FASTPATH_EXIT; with @fred at
 * @exit, too.
 */
.macro SYSCALL_FASTPATH exit:req fred=0
	ALTERNATIVE "jmp .Lfastpath_none", "LOAD_CURRENT_TASK %rbx", X86_FEATURE_SYSCALL_FASTPATH

	cmpq	$0, TASK_TI_syscall_work(%rbx)
	jne	.Lfastpath_work

	TEST_FLAGS_AND_NUMBER fred=\fred

	CALL_ON_FASTPATH
.Lfastpath_end:
	END_ON_FASTPATH fred=\fred exit=\exit by_c=slow mitigated=.Lfastpath_mitigated_exit

.Lfastpath_work:
#ifdef CALLS_WITH_WORK
	/* What holds for the rest of the fast path holds here. */
	TEST_FLAGS_AND_NUMBER fred=\fred
#ifdef SYSCALL_WORK_HANDLER
	cmpq	$SYSCALL_WORK_HANDLER, TASK_TI_syscall_work(%rbx)
	jne	.Lfastpath_other_work

	/* A handler is all, or all but filters that allow the call; at the exit it is no work? */
.Lfastpath_handler:
	TEST_PASS .Lfastpath_handle
	CALL_ON_FASTPATH work=SYSCALL_WORK_OF_PASSED suffix=_passed
	END_ON_FASTPATH fred=\fred exit=\exit by_c=passed \
		mitigated=.Lfastpath_mitigated_exit_of_passed

.Lfastpath_other_work:
#endif
#ifdef SYSCALL_WORK_FILTERS
	/* Seccomp's filters are all, or they and a handler? */
	testq	$SYSCALL_WORK_FOR_C, TASK_TI_syscall_work(%rbx)
	jnz	.Lfastpath_with_work
	TEST_FILTERS .Lfastpath_with_work
#ifdef SYSCALL_WORK_HANDLER
	testq	$SYSCALL_WORK_HANDLER, TASK_TI_syscall_work(%rbx)
	jnz	.Lfastpath_handler
#endif
	CALL_ON_FASTPATH work=SYSCALL_WORK_OF_EXIT suffix=_filtered
	jmp	.Lfastpath_end
#endif

.Lfastpath_with_work:
	CALL_WITH_WORK syscall_64_with_work suffix=_with_work
	jmp	.Lfastpath_handled

#ifdef SYSCALL_WORK_HANDLER
.Lfastpath_handle:
	CALL_WITH_WORK syscall_64_handled suffix=_handled
#endif
.Lfastpath_handled:
	/* syscall_work was looked at there, and once is enough. */
	movl	%eax, %esi
	movl	$SYSCALL_FASTPATH_TI_FLAGS, %ecx
	andl	TASK_TI_flags(%rbx), %ecx
	orq	%rcx, %rax
#ifdef CONFIG_UNWIND_USER
	orq	TASK_unwind_mask(%rbx), %rax
#endif
	OR_FPU_STATE_INVALID %rax
	.if \fred
	OR_FRED_STACK_CHANGED %rax, %rcx
	ALTERNATIVE "", "jz \exit", X86_FEATURE_SYSCALL_FAST_EXIT
	.else
	ALTERNATIVE_2 "jz .Lfastpath_mitigated_exit_of_handled", \
		"jz .Lfastpath_exit_of_slow_path", X86_FEATURE_SYSCALL_FAST_EXIT, \
		"", X86_FEATURE_SYSCALL_FAST_DISPATCH
	.endif
.Lfastpath_handled_return:
	movq	%rsp, %rdi
	call	syscall_64_handled_return	/* IRQs stay disabled */
	jmp	\exit
#else
	jmp	.Lfastpath_slow_entry
#endif

#ifdef CONFIG_X86_SYSCALL_PATH_STATS
	.if !\fred
.Lfastpath_slow_flags:
	COUNT_SYSCALL_PATH SYSCALL_PATH_SLOW_FLAGS
	jmp	.Lfastpath_slow_entry
	.endif
.Lfastpath_slow_number:
	cmpl	$NR_syscalls, ORIG_RAX(%rsp)
	jae	.Lfastpath_slow_range
	COUNT_SYSCALL_PATH SYSCALL_PATH_SLOW_QUALIFIED
	jmp	.Lfastpath_slow_entry
.Lfastpath_slow_range:
	COUNT_SYSCALL_PATH SYSCALL_PATH_SLOW_NUMBER
#else
.Lfastpath_slow_flags:
.Lfastpath_slow_number:
#endif
.Lfastpath_slow_entry:
	movslq	ORIG_RAX(%rsp), %rsi
	/* "lean" is for the fast path alone. */
	ALTERNATIVE "jmp .Lfastpath_none", "CLEAR_CALLEE_REGS", X86_FEATURE_SYSCALL_FAST_LEAN
.Lfastpath_none:
.endm

/*
 * Where SYSCALL_FASTPATH makes its calls if the stack is to be moved. It goes where
 * nothing falls through to it.
 */
.macro SYSCALL_FASTPATH_OFFSET
#ifdef CONFIG_RANDOMIZE_KSTACK_OFFSET
.Lfastpath_offset:
	CALL_WITH_STACK_OFFSET x64_sys_call, .Lfastpath_called, can_be_lean=1
#ifdef SYSCALL_WORK_FILTERS
.Lfastpath_offset_filtered:
	CALL_WITH_STACK_OFFSET x64_sys_call, .Lfastpath_called_filtered, can_be_lean=1
#endif
#ifdef SYSCALL_WORK_HANDLER
.Lfastpath_offset_passed:
	CALL_WITH_STACK_OFFSET x64_sys_call, .Lfastpath_called_passed, can_be_lean=1
.Lfastpath_offset_handled:
	CALL_WITH_STACK_OFFSET syscall_64_handled, .Lfastpath_called_handled
#endif
#ifdef CALLS_WITH_WORK
.Lfastpath_offset_with_work:
	CALL_WITH_STACK_OFFSET syscall_64_with_work, .Lfastpath_called_with_work
#endif
#else
.Lfastpath_offset:
.Lfastpath_offset_filtered:
.Lfastpath_offset_passed:
.Lfastpath_offset_handled:
.Lfastpath_offset_with_work:
	ud2
#endif
.endm

/*
 * What arch_exit_to_user_mode_prepare() and arch_exit_to_user_mode() do, with the
 * result in pt_regs; or C does all of it.
 */
.macro EXIT_WITH_MITIGATIONS or_by_c:req
#if defined(CONFIG_RSEQ_STATS) || defined(CONFIG_KMAP_LOCAL)
	jmp	\or_by_c
#else
	ALTERNATIVE "jmp .Lno_ibpb_\@", "", X86_FEATURE_IBPB_EXIT_TO_USER
	cmpb	$0, PER_CPU_VAR(x86_ibpb_exit_to_user)
	jne	\or_by_c
.Lno_ibpb_\@:
#ifdef CONFIG_CONTEXT_TRACKING_USER
	ALTERNATIVE "", "call syscall_64_track_exit", X86_FEATURE_SYSCALL_FAST_TRACKING
#endif
	ALTERNATIVE "jmp syscall_return_via_sysret", \
		"xorl %eax, %eax; xorl %edx, %edx; movl $1, %ecx; divl %ecx", X86_BUG_DIV0
	jmp	syscall_return_via_sysret
#endif
.endm

/*
 * The end of a call that SYSCALL_FASTPATH has made, with its result in %rax.
 * RSP stays where it is up to the last: the unwinder can always find pt_regs.
 * RAX has the result, so it need not be stored.
 */
.macro SYSCALL_FASTPATH_EXIT
.Lfastpath_exit_of_slow_path:
	UNWIND_HINT_REGS
	movq	RAX(%rsp), %rax
.Lfastpath_exit:
	movq	R15(%rsp), %r15
	movq	R14(%rsp), %r14
	movq	R13(%rsp), %r13
	movq	R12(%rsp), %r12
	movq	RBP(%rsp), %rbp
.Lfastpath_lean_exit:
	movq	RBX(%rsp), %rbx
	movq	R11(%rsp), %r11
	movq	R10(%rsp), %r10
	movq	R9(%rsp), %r9
	movq	R8(%rsp), %r8
	movq	RCX(%rsp), %rcx
	movq	RDX(%rsp), %rdx
	movq	RSI(%rsp), %rsi
	movq	RDI(%rsp), %rdi
	movq	RSP(%rsp), %rsp
SYM_INNER_LABEL(entry_SYSRETQ_fast_unsafe_stack, SYM_L_GLOBAL)
	UNWIND_HINT_END_OF_STACK
	ANNOTATE_NOENDBR
	swapgs
	CLEAR_CPU_BUFFERS
	sysretq
SYM_INNER_LABEL(entry_SYSRETQ_fast_end, SYM_L_GLOBAL)
	ANNOTATE_NOENDBR
	int3

#ifdef CALLS_WITH_WORK
	/* With what C returned in %esi, and the result in pt_regs. */
.Lfastpath_mitigated_exit_of_handled:
	UNWIND_HINT_REGS
	EXIT_WITH_MITIGATIONS or_by_c=.Lfastpath_handled_return
#endif

#ifdef SYSCALL_WORK_HANDLER
	/* C has a handler do less at the end of a call that it let pass. */
.Lfastpath_mitigated_exit_of_passed:
	UNWIND_HINT_REGS
	movq	%rax, RAX(%rsp)
	EXIT_WITH_MITIGATIONS or_by_c=.Lfastpath_passed_return
#endif

.Lfastpath_mitigated_exit:
	UNWIND_HINT_REGS
	movq	%rax, RAX(%rsp)
	EXIT_WITH_MITIGATIONS or_by_c=.Lfastpath_slow_return

SYM_INNER_LABEL(entry_SYSCALL_64_offset, SYM_L_LOCAL)
	SYSCALL_FASTPATH_OFFSET
.endm

/*
 * Whether a SYSCALL of 64-bit code has brought us here: jumps to fred_syscall then.
 * After FRED_ENTER, of which it leaves all but %rax.
 */
.macro TEST_FRED_SYSCALL
	ALTERNATIVE "jmp .Lno_syscall_\@", __stringify(movl SS + 4(%rsp), %eax), \
		X86_FEATURE_SYSCALL_FASTPATH
	andl	$FRED_SS_HIGH(0xff, 0xf), %eax
	cmpl	$FRED_SS_HIGH(FRED_SYSCALL, EVENT_TYPE_OTHER), %eax
	je	fred_syscall
.Lno_syscall_\@:
.endm

/* What fred_other() does with one. @exit is where a return from that would lead. */
.macro DEFINE_FRED_SYSCALL exit:req
SYM_CODE_START_LOCAL(fred_syscall)
	UNWIND_HINT_REGS
	movq	RAX(%rsp), %rax
	movq	%rax, ORIG_RAX(%rsp)
	movq	$-ENOSYS, RAX(%rsp)
	movslq	%eax, %rsi
	SYSCALL_FASTPATH exit=\exit fred=1
	call	do_syscall_64
	jmp	\exit

	SYSCALL_FASTPATH_OFFSET
SYM_CODE_END(fred_syscall)
.endm

/* At syscall_return_via_sysret, where do_syscall_64() has made the call. */
.macro SYSCALL_SLOWPATH_EXIT
	ALTERNATIVE "", "jmp .Lfastpath_exit_of_slow_path", X86_FEATURE_SYSCALL_FAST_EXIT
.endm

#else /* !CONFIG_X86_SYSCALL_FASTPATH */

.macro PUSH_AND_CLEAR_SYSCALL_REGS
	PUSH_AND_CLEAR_REGS rax=$-ENOSYS
.endm

.macro SYSCALL_FASTPATH exit:req
.endm

.macro SYSCALL_FASTPATH_EXIT
.endm

.macro SYSCALL_SLOWPATH_EXIT
.endm

.macro TEST_FRED_SYSCALL
.endm

.macro DEFINE_FRED_SYSCALL exit:req
.endm

#endif
