#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Generate one bit for each system call of a table (see syscalltbl.sh): 1 if it
# may take the fast path, 0 if it has a qualifier. The bits come as initializers
# of 32-bit words, the lowest number in the lowest bit.

set -e

usage() {
	echo >&2 "usage: $0 --abis ABIS INFILE OUTFILE" >&2
	echo >&2
	echo >&2 "  INFILE    input syscall table"
	echo >&2 "  OUTFILE   output header file"
	echo >&2
	echo >&2 "options:"
	echo >&2 "  --abis ABIS        ABI(s) to handle"
	exit 1
}

if [ $# -ne 4 ] || [ "$1" != --abis ]; then
	usage
fi

abis=$(echo "($2)" | tr ',' '|')
infile="$3"
outfile="$4"

word=0
nxt=0

add() {
	word=$((word | $1 << nxt % 32))
	nxt=$((nxt + 1))
	if [ $((nxt % 32)) -eq 0 ]; then
		flush
	fi
}

flush() {
	printf '0x%08x,\n' $word
	word=0
}

grep -E "^[0-9]+[[:space:]]+$abis[[:space:]]" "$infile" | {

	while read -r nr abi name native compat qualifier; do

		# Without an entry: sys_ni_syscall(), which is as fast as any.
		while [ $nxt -lt "$nr" ]; do
			add 1
		done

		case "$qualifier" in
		"")
			add 1;;
		noreturn|ptregs)
			add 0;;
		*)
			echo >&2 "error: $infile: unknown qualifier \"$qualifier\" of $name"
			exit 1;;
		esac
	done

	if [ $((nxt % 32)) -ne 0 ]; then
		flush
	fi
} > "$outfile"
