# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Sourced after lib.sh: runs kselftests in VMs, and adds up results. A machine that has passed all of its
# tests is not run again with the same $SLOWPATH_TESTED, if there is one: it stands for all that is tested.

passed=0 failed=0 skipped=0 broken='' table='' results_of=()

# Adds up the results in a KTAP file.
# count WHAT FILE
count() {
	local ok not_ok skip
	skip=$(grep -cE '^ *ok .* # SKIP' "$2" || true)
	ok=$(($(grep -cE '^ *ok ' "$2" || true) - skip))
	not_ok=$(grep -cE '^ *not ok ' "$2" || true)
	grep -E '^ *not ok ' "$2" >&2 || true
	results_of+=("$2")
	add "$1" $ok $not_ok $skip
}

# add WHAT PASSED FAILED SKIPPED
add() {
	passed=$((passed + $2)) failed=$((failed + $3)) skipped=$((skipped + $4))
	table+=$(printf '%-20s %7d %7d %7d' "$@")$'\n'
}

# Whether a KTAP file has as many results as it says, and some: $ran of $plan.
# all_ran FILE
all_ran() {
	plan=$(sed -n 's/^1\.\.//p' "$1")
	ran=$(grep -cE '^(ok|not ok) [0-9]' "$1" || true)
	[ "${plan:-0}" = "$ran" ] && [ "$ran" -gt 0 ]
}

# The machines, what scripts/boot is told for each, and behind "--" which tests, if not all. The CPU
# models differ in the mitigations that they need: "intel" needs page-table isolation and buffer
# clearing; "amd" untraining, and clearing the divider; "amd-zen2" untraining alone. They differ in the
# instruction that 32-bit programs enter by, too: "intel" has SYSENTER, the others SYSCALL. What one CPU
# does is their matter, and VMs with one CPU run well side by side. What takes longest is first.
machines='
	four-cpus    --cpus 4 -- --long
	default      --cpus 2
	one-cpu      --cpus 1
	intel        --cpus 1 --cpu Skylake-Client
	amd          --cpus 1 --cpu EPYC
	amd-zen2     --cpus 1 --cpu EPYC-Rome
	unmitigated  --cpus 1 --cpu Skylake-Client --append mitigations=off
	no-fastpath  --cpus 1 --append syscall_fastpath=off
	lean         --cpus 1 --append syscall_fastpath=lean
	no-x32       --cpus 1 --append syscall.x32=n -- doors_ rule
	vsyscall     --cpus 1 --append vsyscall=emulate -- vsyscall
	no-vsyscall  --cpus 1 --append vsyscall=none -- vsyscall_mode
'
# Those of "make test-debug", whose kernels check themselves. They are slow, and the emulation of one-shot
# timers loses an interrupt now and then if the host is busy, which ends a CPU's timers for good: so they
# have periodic ones. Thousands of tasks that exit at the same time wait for each other for minutes: so it is
# later that one is said to hang. With page tables of five levels, KASAN takes memory for wild if an
# interrupt comes while the kernel looks up the boot CPU's features, so they have four. All kselftests are
# run on one CPU, those that are about several tasks at a time on as many as there are here, up to four: more
# would spin on locks whose holders do not run. KCSAN is for what changes while others look at it.
slow='--append highres=off --append nohz=off --append no5lvl --append sysctl.kernel.hung_task_timeout_secs=1200 --timeout 14400'
several=$(nproc)
several=$((several < 2 ? 2 : several > 4 ? 4 : several))
debug_machines="
	debug        --cpus 1 --kernel debug $slow
	debug-long   --cpus $several --kernel debug $slow -- storm_ junk_
	kcsan        --cpus $several --kernel kcsan $slow -- storm_of_attachments storm_of_switches storm_of_policies storm_of_kills storm_of_children attach detach inherit toggle exit_ kill_ fork exec replaced switched follows module_ many_
"

# What came of it is in $BUILD/kselftest-MACHINE.tap, and why it was not good in .tap.broken.
# run_kselftests MACHINE BOOT-OPTIONS... -- TESTS...
run_kselftests() {
	local machine=$1 results=$BUILD/kselftest-$1.tap options=() plan ran key='' broken=''
	shift
	while [ "$1" != -- ]; do options+=("$1") && shift; done
	shift
	[ -z "${SLOWPATH_TESTED-}" ] || key="$SLOWPATH_TESTED $*"
	if [ -n "$key" ] && [ "$(cat "$results.passed" 2>/dev/null)" = "$key" ]; then
		say "The kselftests, in the VM: $machine has passed before"
		return
	fi
	say "The kselftests, in the VM: $machine ..."
	rm -f "$results.passed" "$results.broken"
	if ! scripts/boot --out "$BUILD/vm-$machine" --timeout 4000 --append log_buf_len=4M "${options[@]}" scripts/guest/test "$@" >"$results"; then
		broken="the kselftests failed on the machine '$machine'"
		grep -E '^(#|not ok)' "$results" >&2 || true
	fi
	all_ran "$results" || broken="only $ran of ${plan:-the} kselftests ran on the machine '$machine'"
	if [ -n "$broken" ]; then
		echo "$broken" >"$results.broken"
		say "error: $broken"
	elif [ -n "$key" ]; then
		echo "$key" >"$results.passed"
	fi
}

# Runs them on each machine of a table, or on those that $ON names, some at the same time.
# run_machines TABLE [TEST...]
run_machines() {
	local all machine row options tests rows=$1
	shift
	all=$(awk 'NF { print $1 }' <<<"$rows")
	for machine in ${ON:-$all}; do
		grep -qxF "$machine" <<<"$all" || die "there is no machine '$machine': it is one of ${all//$'\n'/, }"
		row=$(awk -v m="$machine" '$1 == m { $1 = ""; print }' <<<"$rows")
		read -ra options <<<"${row%% -- *}"
		tests=("$@")
		if [ $# = 0 ] && [ "$row" != "${row#* -- }" ]; then read -ra tests <<<"${row#* -- }"; fi
		# Each row begins with its number of CPUs.
		begin "${options[1]}" run_kselftests "$machine" "${options[@]}" -- "${tests[@]}"
	done
	all_ended || broken='a machine was not tested to its end'
	for machine in ${ON:-$all}; do
		count "$machine" "$BUILD/kselftest-$machine.tap"
		[ ! -e "$BUILD/kselftest-$machine.tap.broken" ] || broken=$(cat "$BUILD/kselftest-$machine.tap.broken")
	done
}

# KUnit's tests in our suites, and the examples in the documentation of what is ours.
# run_kunit NAME BOOT-OPTION...
run_kunit() {
	local results=$BUILD/$1.tap
	say "KUnit, in a VM of its own: $1 ..."
	scripts/boot --out "$BUILD/vm-$1" "${@:2}" --append kunit.enable=1 --append "kunit.filter_glob=rust_*" --timeout 600 \
		scripts/guest/kunit >"$results" || broken="KUnit did not run, or the kernel has complained of it"
	grep -qE '^ok [0-9]+ rust_slowpath' "$results" || broken="KUnit ran no suite of ours"
	awk '/# Subtest: / { ours = $NF ~ /^rust_slowpath/ }
		/^ +(ok|not ok) / && (ours || /rust_doctest_kernel_(syscall_slowpath|kobject)/)' "$results" >"$results.tests"
	grep -q rust_doctest_kernel_syscall_slowpath "$results.tests" || broken="KUnit ran no example of the documentation"
	count "$1" "$results.tests"
}

# Prints the table and the totals, and exits.
finish() {
	if [ $skipped != 0 ]; then
		say "$skipped skipped:"
		{ grep -HoE '[a-z0-9_]+ # SKIP.*' "${results_of[@]}" || true; } |
			sed 's|.*/kselftest-||; s|\.tap||; s|^|  |' >&2
	fi
	printf '%-20s %7s %7s %7s\n%s' '' passed failed skipped "$table"
	[ $failed = 0 ] || broken=${broken:-tests failed}
	[ -z "$broken" ] || say "error: $broken"
	echo "$passed passed, $failed failed"
	[ -z "$broken" ] || exit 1
	exit 0
}
