# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Sourced after lib.sh: runs parts of the tests side by side, kselftests in VMs above all, says how far they
# are, and adds up their results, which are in .build/results: NAME.tap, why a part was not good in
# NAME.broken, how long it took in NAME.seconds. A machine that has passed all of its tests is not run again
# with the same $SLOWPATH_TESTED, if there is one: it stands for all that is tested.

results=$BUILD/results
mkdir -p "$results"
parts=() broken='' watcher=''

# The machines: what scripts/boot is told for each, and behind "--" which kselftests. The default one runs all
# but those that take minutes; each other differs from it in something, and runs what can depend on that. The
# CPU models differ in the mitigations that they need: "intel" needs page-table isolation and buffer clearing;
# "amd" untraining, and clearing the divider; "amd-zen2" untraining alone. They differ in the instruction that
# 32-bit programs enter by, too: "intel" has SYSENTER, the others SYSCALL. Boot parameters that have nothing to
# do with each other share a machine. With $THOROUGH set, junk, storms and races make all of their rounds. VMs with one CPU run well side by side. What takes longest is first.
fewer=" --rounds-divisor 4" all_fewer=" -- --rounds-divisor 4"
[ -z "${THOROUGH-}" ] || fewer='' all_fewer=''
machines="
	four-cpus    --cpus 4 -- --long --on cpus,time$fewer
	default      --cpus 1$all_fewer
	no-fastpath  --cpus 1 --append syscall_fastpath=off --append vsyscall=none -- --on fast_path,vsyscall
	lean         --cpus 1 --append syscall_fastpath=lean --append vsyscall=emulate -- --on fast_path,vsyscall
	intel        --cpus 1 --cpu Skylake-Client -- --on mitigations,compat_entry
	amd          --cpus 1 --cpu EPYC -- --on mitigations
	amd-zen2     --cpus 1 --cpu EPYC-Rome -- --on mitigations
	offset       --cpus 1 --append randomize_kstack_offset=on -- --on fast_path
	lean-offset  --cpus 1 --append syscall_fastpath=lean --append randomize_kstack_offset=on -- registers_ stack_o path_of_untagged path_of_seccomp
	tracking     --cpus 2 --append nohz_full=1 --append randomize_kstack_offset=on -- tracked stack_o path_status path_of_seccomp storm_of_switches$fewer
	unmitigated  --cpus 1 --cpu Skylake-Client --append mitigations=off --append syscall.x32=n -- --on mitigations,compat_entry,x32
"
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
	kcsan        --cpus $several --kernel kcsan $slow -- storm_of_attachments storm_of_switches storm_of_policies storm_of_kills storm_of_children attach detach group inherit toggle exit_ kill_ fork exec replaced switched follows module_ many_
"

# Those of "make test-rt".
rt_machines="
	rt           --cpus $several --kernel rt -- path_of stack_o attach detach group inherit toggle force_all exit_ exec kill_ verdict restart order_ policy_ module_ members storm_$fewer
"

# That of "make test-distro", with the kernel that is packaged, where x32 is off by default.
distro_machines="
	distro       --cpus 1 --kernel distro --append syscall.x32=y
"

# Whether a KTAP file has as many results as it says, and some: $ran of $plan.
# all_ran FILE
all_ran() {
	plan=$(sed -n 's/^1\.\.//p' "$1")
	ran=$(grep -cE '^(ok|not ok) [0-9]' "$1" || true)
	[ "${plan:-0}" = "$ran" ] && [ "$ran" -gt 0 ]
}

# How far a part is, in a line.
progress_of() {
	local start plan='' ran=0
	read -r start <"$results/$1.begun"
	[ ! -s "$results/$1.tap" ] || all_ran "$results/$1.tap" || true
	printf '%-20s %s of %s, %d s\n' "$1" "$ran" "${plan:-...}" $((EPOCHSECONDS - start))
}

# Shows the parts that run: on a terminal again and again in the same place, elsewhere each minute.
watch_parts() {
	local file lines
	while sleep "$([ -t 2 ] && echo 1 || echo 60)" >/dev/null 2>&1; do
		lines=$(for file in "$results"/*.begun; do
			[ ! -e "$file" ] || progress_of "$(basename "$file" .begun)" 2>/dev/null || true
		done)
		[ -n "$lines" ] || continue
		if [ -t 2 ]; then printf '\r\033[J%s\033[%dA\n' "$lines" "$(wc -l <<<"$lines")" >&2; else say "$lines"; fi
	done
}

# Begins a part, beside others as far as $VM_CPUS allows.
# begin_part NAME CPUS COMMAND...
begin_part() {
	local name=$1 cpus=$2
	shift 2
	if [ -z "$watcher" ]; then
		rm -f "$results"/*.begun
		watch_parts &
		watcher=$!
		trap 'kill $watcher 2>/dev/null || true' EXIT
	fi
	parts+=("$name")
	begin "$cpus" run_part "$name" "$@"
}

# The tests that failed, each behind the last of what it said; or what was said at the end.
# why FILE
why() {
	awk '/^ *#/ { said[++n] = $0; next }
		/^ *not ok/ { show(); print; failed = 1 }
		{ n = 0 }
		END { if (!failed) show() }
		function show(  i) { for (i = n > 10 ? n - 9 : 1; i <= n; i++) print said[i] }' "$1"
}

# What the command prints is the part's KTAP; that it has failed, or not all ran, is said here.
run_part() {
	local name=$1 start=$EPOCHSECONDS tap=$results/$1.tap broken=''
	shift
	rm -f "$results/$name".{broken,seconds,slowest}
	echo "$start" >"$results/$name.begun"
	# What ends by die() ends alone.
	("$@") >"$tap" || {
		broken="the part '$name' has failed"
		why "$tap" >&2
	}
	all_ran "$tap" || broken="only $ran of ${plan:-the} tests of '$name' ran"
	[ ! -t 2 ] || printf '\r\033[J' >&2
	progress_of "$name" >&2
	[ -z "$broken" ] || { echo "$broken" >"$results/$name.broken" && say "error: $broken"; }
	echo $((EPOCHSECONDS - start)) >"$results/$name.seconds"
	rm -f "$results/$name.begun"
}

# run_in_guest PART BOOT-OPTIONS... -- COMMAND...: one that writes down how long each test takes
run_in_guest() {
	local part=$1 options=() status=0
	shift
	while [ "$1" != -- ]; do options+=("$1") && shift; done
	shift
	scripts/boot --out "$BUILD/vm-$part" --timeout 4000 --append log_buf_len=4M "${options[@]}" "$@" || status=1
	cp "$BUILD/vm-$part/seconds" "$results/$part.slowest" 2>/dev/null || true
	return $status
}

# Begins the kselftests on each machine of a table, or on those that $ON names.
# begin_machines TABLE [TEST...]
begin_machines() {
	local all machine row options tests key passed rows=$1
	shift
	all=$(awk 'NF { print $1 }' <<<"$rows")
	for machine in ${ON:-$all}; do
		grep -qxF "$machine" <<<"$all" || die "there is no machine '$machine': it is one of ${all//$'\n'/, }"
		row=$(awk -v m="$machine" '$1 == m { $1 = ""; print }' <<<"$rows")
		read -ra options <<<"${row%% -- *}"
		tests=("$@")
		if [ $# = 0 ] && [ "$row" != "${row#* -- }" ]; then read -ra tests <<<"${row#* -- }"; fi
		key="${SLOWPATH_TESTED-} ${tests[*]}" passed=$results/$machine.passed
		if [ -n "${SLOWPATH_TESTED-}" ] && [ "$(cat "$passed" 2>/dev/null)" = "$key" ]; then
			say "The kselftests on '$machine' have passed before"
			parts+=("$machine")
			continue
		fi
		rm -f "$passed"
		# Each row begins with its number of CPUs.
		begin_part "$machine" "${options[1]}" run_in_guest "$machine" "${options[@]}" -- scripts/guest/test "${tests[@]}"
		[ -z "${SLOWPATH_TESTED-}" ] || echo "$key" >"$results/$machine.key"
	done
}

# slowctl: what needs no kernel on the host, and what an operator types in a VM; or of that some tests.
# begin_slowctl [TEST...]
begin_slowctl() {
	[ $# -gt 0 ] || begin_part slowctl-host 1 run_slowctl_host
	begin_part slowctl 1 run_in_guest slowctl --cpus 1 -- scripts/guest/slowctl "$@"
}
run_slowctl_host() {
	local log=$BUILD/slowctl-tests.log status=0
	scripts/build-slowctl --test >"$log" 2>&1 || status=1
	echo "KTAP version 1"
	# What ends before its tests do has no such line.
	sed -n 's/^test result: .* \([0-9]*\) passed; \([0-9]*\) failed;.*/\1 \2/p' "$log" | awk '{ n += $1 + $2 } END { print "1.." n + 0 }'
	sed -nE 's/^test (.*) \.\.\. ok$/ok - \1/p; s/^test (.*) \.\.\. FAILED$/not ok - \1/p' "$log" |
		awk '{ sub(/ok -/, "ok " NR); print }'
	[ $status = 0 ] || sed -n '/^failures:/,$ s/^/# /p; /^error/ s/^/# /p' "$log"
	return $status
}

# Each dependency that a test declares has a machine to be run on, and there is none that nothing depends on.
check_dependencies() {
	local declared varied
	declared=$("$BUILD/target/release/slowpath-selftests" --list | awk 'NF > 1 { print $2 }' | tr , '\n' | sort -u)
	varied=$(grep -oE -- '--on [a-z0-9_,]+' <<<"$machines" | cut -d' ' -f2 | tr , '\n' | sort -u)
	[ "$declared" = "$varied" ] ||
		die "tests depend on '${declared//$'\n'/ }', and the machines differ in '${varied//$'\n'/ }'"
}

# KUnit's tests in our suites, and the examples in the documentation of what is ours.
# run_kunit NAME BOOT-OPTION...
run_kunit() {
	local log=$BUILD/$1.log
	scripts/boot --out "$BUILD/vm-$1" "${@:2}" --append kunit.enable=1 --append "kunit.filter_glob=rust_*" --timeout 600 \
		scripts/guest/kunit >"$log" || { grep '^#' "$log"; return 1; }
	awk '/# Subtest: / { ours = $NF ~ /^rust_(slowpath|percpu)/ }
		/^ +(ok|not ok) / && (ours || /rust_doctest_kernel_(syscall_slowpath|kobject|percpu|ratelimit)/)' "$log" |
		awk '{ sub(/^ +/, ""); sub(/ok [0-9]+/, "ok " NR); print } END { print "1.." NR }'
	grep -q 'ok [0-9]* rust_slowpath' "$log" || { echo "# KUnit ran no suite of ours" && return 1; }
	grep -q 'rust_doctest_kernel_syscall_slowpath' "$log" || { echo "# KUnit ran no example of the documentation" && return 1; }
}

# Prints the table, what took longest, and the totals, when all parts have ended; and exits.
finish() {
	local part tap skip ok not_ok passed=0 failed=0 skipped=0 table='' total
	all_ended || broken='a part was not run to its end'
	kill "$watcher" 2>/dev/null || true
	for part in "${parts[@]}"; do
		tap=$results/$part.tap
		skip=$(grep -cE '^ *ok .* # SKIP' "$tap" || true)
		ok=$(($(grep -cE '^ *ok ' "$tap" || true) - skip))
		not_ok=$(grep -cE '^ *not ok ' "$tap" || true)
		passed=$((passed + ok)) failed=$((failed + not_ok)) skipped=$((skipped + skip))
		table+=$(printf '%-20s %7d %7d %7d %7d' "$part" $ok "$not_ok" "$skip" "$(cat "$results/$part.seconds")")$'\n'
		if [ -e "$results/$part.broken" ]; then
			broken=$(cat "$results/$part.broken")
		elif [ "$not_ok" = 0 ] && [ -e "$results/$part.key" ]; then
			mv "$results/$part.key" "$results/$part.passed"
		fi
	done
	if [ $skipped != 0 ]; then
		say "$skipped skipped:"
		for part in "${parts[@]}"; do sed -nE "s/^ *ok [0-9]+ (.* # SKIP.*)/  $part: \1/p" "$results/$part.tap" >&2; done
	fi
	total=$(for part in "${parts[@]}"; do
		[ ! -e "$results/$part.slowest" ] || sed "s/ / $part /" "$results/$part.slowest"
	done | sort -rn | awk "NR <= 10")
	[ -z "$total" ] || say $'What took longest, in seconds:\n'"$(awk '{ printf "  %7.1f  %s: %s\n", $1, $2, $3 }' <<<"$total")"
	printf '%-20s %7s %7s %7s %7s\n%s' '' passed failed skipped seconds "$table"
	[ $failed = 0 ] || broken=${broken:-tests failed}
	[ -z "$broken" ] || say "error: $broken"
	say "$SECONDS seconds"
	echo "$passed passed, $failed failed"
	[ -z "$broken" ] || exit 1
	exit 0
}
