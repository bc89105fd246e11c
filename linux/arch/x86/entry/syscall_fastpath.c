// SPDX-License-Identifier: GPL-2.0
/*
 * Whether 64-bit system calls are tried in assembly first, and which of them.
 * The path itself is in entry_64_fastpath.S.
 */
#include <linux/bits.h>
#include <linux/context_tracking.h>
#include <linux/cpufeature.h>
#include <linux/export.h>
#include <linux/init.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/printk.h>
#include <linux/randomize_kstack.h>
#include <linux/rseq_entry.h>
#include <linux/seccomp.h>
#include <linux/string.h>
#include <linux/syscall_fastpath.h>
#include <linux/syscall_slowpath.h>

#include <asm/syscall.h>
#include <asm/unistd.h>

/* One bit for each number, from syscall_64.tbl. */
static const u32 fast_syscalls[] = {
#include <asm/syscalls_64_fast.h>
};

static_assert(ARRAY_SIZE(fast_syscalls) == DIV_ROUND_UP(NR_syscalls, 32));
#ifdef CONFIG_SECCOMP_FILTER
/* Assembly looks up the same numbers in seccomp's. */
static_assert(NR_syscalls <= SECCOMP_ARCH_NATIVE_NR);
#endif
/* And in those of groups. */
static_assert(NR_syscalls <= SYSCALL_SLOWPATH_NR_PASSES);

/* What entry_SYSCALL_64 tests: those bits, or none. */
asmlinkage u32 syscall_64_fast[ARRAY_SIZE(fast_syscalls)] __read_mostly;

static DEFINE_MUTEX(update_lock);
static const char *off_at_boot __ro_after_init;
static bool wanted __initdata = true;
static bool lean __initdata;

static int __init setup_syscall_fastpath(char *str)
{
	if (!str)
		return -EINVAL;

	if (!strcmp(str, "on") || !strcmp(str, "off") || !strcmp(str, "lean")) {
		wanted = strcmp(str, "off");
		lean = !strcmp(str, "lean");
	} else {
		pr_warn("syscall_fastpath: unknown option '%s', not one of on, off, lean\n", str);
	}
	return 0;
}
early_param("syscall_fastpath", setup_syscall_fastpath);

static const char *__init reason_to_be_off(void)
{
	if (!wanted)
		return "parameter";
	if (cpu_feature_enabled(X86_FEATURE_XENPV))
		return "xen";
	return NULL;
}

static bool __init randomizes_stack_offset(void)
{
#ifdef CONFIG_RANDOMIZE_KSTACK_OFFSET
	return static_key_enabled(&randomize_kstack_offset);
#else
	return false;
#endif
}

/*
 * What syscall_return_via_sysret, arch_exit_to_user_mode_prepare() and C code before
 * that do, but for VERW, what syscall_64_dispatch() does, and the FPU's check.
 */
static bool __init has_exit_work(void)
{
	return IS_ENABLED(CONFIG_KSTACK_ERASE) ||
	       IS_ENABLED(CONFIG_RSEQ_STATS) ||
	       IS_ENABLED(CONFIG_KMAP_LOCAL) ||
	       context_tracking_enabled() ||
	       cpu_feature_enabled(X86_FEATURE_PTI) ||
	       cpu_feature_enabled(X86_FEATURE_KERNEL_IBRS) ||
	       cpu_feature_enabled(X86_FEATURE_IBPB_EXIT_TO_USER) ||
	       boot_cpu_has_bug(X86_BUG_DIV0);
}

/**
 * syscall_fastpath_init - Decide for the fast path, or against it
 *
 * Each reason against it is one that stays until the next boot.
 *
 * Context: Once, on the boot CPU, when the mitigations are selected and the
 * alternatives are not applied yet.
 */
void __init syscall_fastpath_init(void)
{
	off_at_boot = reason_to_be_off();
	if (off_at_boot)
		return;

	setup_force_cpu_cap(X86_FEATURE_SYSCALL_FASTPATH);
	if (context_tracking_enabled()) {
		setup_force_cpu_cap(X86_FEATURE_SYSCALL_FAST_TRACKING);
		setup_force_cpu_cap(X86_FEATURE_SYSCALL_FAST_DISPATCH);
	} else if (randomizes_stack_offset()) {
		setup_force_cpu_cap(X86_FEATURE_SYSCALL_FAST_OFFSET);
	}
	if (!has_exit_work()) {
		setup_force_cpu_cap(X86_FEATURE_SYSCALL_FAST_EXIT);
		/* That unwinder would follow the user's RBP; FRED's entry is not this one's. */
		if (lean && !IS_ENABLED(CONFIG_UNWINDER_FRAME_POINTER) &&
		    !cpu_feature_enabled(X86_FEATURE_FRED))
			setup_force_cpu_cap(X86_FEATURE_SYSCALL_FAST_LEAN);
	}
	syscall_fastpath_update();
}

#ifdef CONFIG_RANDOMIZE_KSTACK_OFFSET
/* What is left of a random word, for the offsets of the next calls on this CPU. */
DEFINE_PER_CPU(u64, syscall_64_offset_bits);

/**
 * syscall_64_draw_offset_bits - Draw the offsets of the next calls
 *
 * Assembly takes an offset from where SYSCALL_64_OFFSET_MASK has it, and shifts
 * the next one there. A bit follows the last one, so that nothing but that is
 * left when the word is used up.
 *
 * Context: IRQs off. noinstr, as what entry code calls.
 * Return: The word.
 */
__visible noinstr u64 syscall_64_draw_offset_bits(void)
{
	const int first = __ffs(SYSCALL_64_OFFSET_MASK);
	const int end = first + (63 - first) / SYSCALL_64_OFFSET_BITS * SYSCALL_64_OFFSET_BITS;
	struct rnd_state *state;
	u64 bits;

	BUILD_BUG_ON(first >= SYSCALL_64_OFFSET_BITS);

	instrumentation_begin();
	state = raw_cpu_ptr(&kstack_rnd_state);
	bits = prandom_u32_state(state);
	bits |= (u64)prandom_u32_state(state) << 32;
	instrumentation_end();

	return (bits & GENMASK_ULL(end - 1, first)) | BIT_ULL(end);
}
#endif

static bool rseq_debug(void)
{
#ifdef CONFIG_RSEQ
	return static_key_enabled(&rseq_debug_enabled);
#else
	return false;
#endif
}

/**
 * syscall_fastpath_update - Take up a change of what rules the fast path out
 *
 * To be called after such a change. System calls that have been entered stay
 * on their path.
 *
 * Context: Process context, may sleep.
 */
void syscall_fastpath_update(void)
{
	guard(mutex)(&update_lock);

	for (int i = 0; i < ARRAY_SIZE(fast_syscalls); i++)
		WRITE_ONCE(syscall_64_fast[i], rseq_debug() ? 0 : fast_syscalls[i]);
}

/**
 * syscall_fastpath_status - Say whether the fast path is in use
 *
 * Context: Any context.
 * Return: NULL if it is, or a word that says why not.
 */
const char *syscall_fastpath_status(void)
{
	if (off_at_boot)
		return off_at_boot;
	return rseq_debug() ? "rseq-debug" : NULL;
}
EXPORT_SYMBOL_GPL(syscall_fastpath_status);
