// SPDX-License-Identifier: GPL-2.0

#include <linux/percpu.h>

__rust_helper u64 __percpu *rust_helper_percpu_alloc_u64(size_t nr)
{
	return __alloc_percpu(nr * sizeof(u64), sizeof(u64));
}

__rust_helper u64 rust_helper_percpu_sum_u64(u64 __percpu *counter)
{
	u64 sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(*per_cpu_ptr(counter, cpu));
	return sum;
}
