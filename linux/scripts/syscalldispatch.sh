#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Generate the dispatch of a table's system calls (see syscalltbl.sh): comparisons
# of @nr, with those system calls found first that programs make most often. A line
# of MIX has a system call's name, and for each of some programs how many of a
# thousand calls are of it.

set -e

if [ $# -ne 5 ] || [ "$1" != --abis ]; then
	echo >&2 "usage: $0 --abis ABIS INFILE MIX OUTFILE"
	exit 1
fi

abis=$(echo "($2)" | tr ',' '|')

grep -E "^[0-9]+[[:space:]]+$abis[[:space:]]" "$3" | LC_ALL=C awk -v mix="$4" '
	function fail(why) {
		print "error: " mix " " why > "/dev/stderr"
		failed = 1
		exit 1
	}

	# One leaf: of a system call, or of numbers that have none.
	function add(nr, function_, weight) {
		first[n] = nr
		leaf[n] = function_
		# No way is much longer than it would be if all were the same.
		below[n + 1] = below[n] + (weight > 0.0013 ? weight : 0.0013)
		n++
	}

	# The two sides of a comparison have the same weight, as far as can be.
	function dispatch(from, to, indent,	half, at) {
		if (from == to) {
			print indent "return " leaf[from] "(regs);"
			return
		}
		half = (below[from] + below[to + 1]) / 2
		for (at = from + 1; at < to && below[at] < half; at++)
			;
		if (at > from + 1 && half - below[at - 1] < below[at] - half)
			at--
		print indent "if (nr < " first[at] ") {"
		dispatch(from, at - 1, indent "\t")
		print indent "} else {"
		dispatch(at, to, indent "\t")
		print indent "}"
	}

	BEGIN {
		n = 0
		while ((status = getline line < mix) > 0) {
			fields = split(line, field)
			if (line ~ /^#/)
				continue
			for (i = 2; i <= fields; i++)
				share[field[1]] += field[i] / 1000 / (fields - 1)
		}
		if (status < 0)
			fail("cannot be read")
	}
	NF >= 4 {
		if ($1 > next_nr)
			add(next_nr, "__x64_sys_ni_syscall", 0)
		add($1, "__x64_" $4, share[$3])
		delete share[$3]
		next_nr = $1 + 1
	}
	END {
		if (failed)
			exit 1
		for (name in share)
			if (share[name])
				fail("has a call that is not in the table: " name)
		add(next_nr, "__x64_sys_ni_syscall", 0)
		dispatch(0, n - 1, "\t")
	}
' > "$5"
