# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What the other scripts share. Source it; it stands at the top of the checkout afterwards.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export TOP=$PWD BUILD=$PWD/.build
export LINUX=$BUILD/linux OBJ=$BUILD/obj
export PATH=$BUILD/venv/bin:$BUILD/tools/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
# The distribution's compiler: one of rustup may lack the library's source.
export RUSTC=${RUSTC:-/usr/bin/rustc} CARGO=${CARGO:-/usr/bin/cargo}
mkdir -p "$BUILD"
gibibytes=$(awk '/^MemTotal/ { print int($2 / 1024 / 1024) }' /proc/meminfo)

# What we build: the version that everything was tested with, and the series that may replace it.
KERNEL_VERSION=7.3.4
PINNED_SERIES=7.3
# Another one, for which 'scripts/series rebase' has kept in patches/ what differs.
KERNEL_SERIES=${KERNEL_SERIES:-$PINNED_SERIES}
[ "$KERNEL_SERIES" = "$PINNED_SERIES" ] || KERNEL_VERSION=$KERNEL_SERIES

# No script ends without a word.
trap 'printf "error: %s, line %s: %s\n" "${0##*/}" "$LINENO" "$BASH_COMMAND" >&2' ERR

say() { printf '%s\n' "$*" >&2; }

# die MESSAGE [LOG]
die() {
	say "error: $1"
	[ -z "${2-}" ] || say "       the log: ${2#"$TOP"/}"
	exit 1
}

# Runs a command with its output in a log, and shows only what went wrong.
# quietly LOG WHAT COMMAND...
quietly() {
	local log=$BUILD/$1 what=$2
	shift 2
	say "$what ..."
	"$@" >"$log" 2>&1 || {
		grep -iE 'error|fail|not found' "$log" | head -n 5 >&2 || tail -n 5 "$log" >&2
		die "$what failed" "$log"
	}
}

# Counts lines that look like build steps, and says how far they are.
# progress WHAT ABOUT
progress() {
	awk -v what="$1" -v about="$2" -v tty="$([ -t 2 ] && echo 1 || echo 0)" '
		/^  [A-Z]+[A-Z0-9 ]* / {
			n++
			if (tty) printf "\r%s: object %d of about %d", what, n, about > "/dev/stderr"
			else if (n % 200 == 0) printf "%s: object %d of about %d\n", what, n, about > "/dev/stderr"
		}
		END { if (tty && n) printf "\n" > "/dev/stderr" }'
}

# Takes the packages in a folder apart there, and away.
# unpack FOLDER
unpack() {
	local package
	for package in "$1"/*.deb; do dpkg-deb -x "$package" "$1" || return; done
	rm "$1"/*.deb
}

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# at_least WANTED HAVE
at_least() { printf '%s\n%s\n' "$1" "$2" | sort -CV; }

# What another checkout on this machine has compiled need not be compiled again.
export CCACHE_BASEDIR=$TOP CCACHE_NOHASHDIR=1 CCACHE_DEPEND=1
# Which compiler it is: clang, of this version, or a gcc.
kernel_cc=clang llvm=19
# Of Debian's configurations the one that it is, if it is one.
flavour=''
kernel_make() {
	local compiler=clang-$llvm toolchain=(LLVM="-$llvm" OBJCOPY=objcopy)
	[ "$kernel_cc" = clang ] || compiler=$kernel_cc toolchain=()
	export CLANG=$compiler
	# bindgen takes the latest library that is there, and has to have the compiler's.
	[ ! -d "/usr/lib/llvm-$llvm/lib" ] || export LIBCLANG_PATH=/usr/lib/llvm-$llvm/lib
	! command -v ccache >/dev/null || compiler=$TOP/scripts/ccache-clang
	PATH=$BUILD/tools/llvm-$llvm/bin:$PATH make -C "$LINUX" "${toolchain[@]}" CC="$compiler" RUSTC="$RUSTC" RUSTFMT=/usr/bin/rustfmt \
		CLIPPY_DRIVER=/usr/bin/clippy-driver RUSTDOC=/usr/bin/rustdoc O="$OBJ" "$@"
}

# The fragments' files, as words.
fragment_files() { printf "$TOP/scripts/config/%s.config\n" "$@"; }

# Lays fragments over the configuration that there is.
# lay_over FRAGMENT...
lay_over() {
	local files
	mapfile -t files < <(fragment_files "$@")
	"$LINUX/scripts/kconfig/merge_config.sh" -m -O "$OBJ" "$OBJ/.config" "${files[@]}" &&
		kernel_make olddefconfig
}

# Configures the kernel that kernel_make builds, from the smallest, or from one that Debian has.
# configure FRAGMENT...
configure() {
	kernel_make rustavailable || return
	if [ -z "$flavour" ]; then
		kernel_make tinyconfig && lay_over "$@"
	else
		scripts/fetch-config "$flavour" >"$OBJ/.config" && lay_over "$@"
	fi
}

# Says which option Kconfig has dropped, or set all the same: it would be missed only much later.
# dropped_option FRAGMENT...
dropped_option() {
	local files option
	mapfile -t files < <(fragment_files "$@")
	awk -F '[= ]' '/^CONFIG_/ { last[$1] = $0 } /^# CONFIG_.* is not set/ { last[$2] = $0 }
		END { for (option in last) print last[option] }' "${files[@]}" | while read -r option; do
		case $option in
		CONFIG_*) grep -qxF "$option" "$OBJ/.config" || echo "$option" ;;
		*) ! grep -q "^$(cut -d' ' -f2 <<<"$option")=" "$OBJ/.config" || echo "$option" ;;
		esac
	done | sort | head -n 1
}

# Which of Debian's configurations "distro" is.
# use_flavour
use_flavour() {
	case ${FLAVOUR:-cloud} in
	cloud) flavour=cloud-amd64 ;;
	amd64) flavour=amd64 ;;
	rt) flavour=rt-amd64 ;;
	*) die "there is no flavour '$FLAVOUR': it is one of cloud, amd64, rt" ;;
	esac
	# Or the release says that the tree is git's.
	export LOCALVERSION=-slowpath-$flavour
	fragments='debian'
	[ -n "${FULL-}" ] || fragments+=' debian-left-out'
	# The tests' machines have less, if they have to share it with the linker.
	[ "$gibibytes" -ge 8 ] || fragments+=' no-debug-info'
}

# Chooses the kernel that kernel_make builds and scripts/boot boots.
# use_kernel run|test|plain|mainline|peers|debug|kcsan|rt|distro|distro-mainline
use_kernel() {
	local tests='kernel slowpath test kunit-and-samples'
	case $1 in
	run) fragments='kernel slowpath test' ;;
	test) fragments=$tests ;;
	plain) OBJ=$BUILD/obj-plain fragments='kernel slowpath' ;;
	mainline) LINUX=$BUILD/linux-pristine OBJ=$BUILD/obj-mainline fragments=kernel ;;
	peers) LINUX=$BUILD/linux-pristine OBJ=$BUILD/obj-peers fragments='kernel peers' ;;
	debug) OBJ=$BUILD/obj-debug fragments="$tests checks debug" ;;
	kcsan) OBJ=$BUILD/obj-kcsan fragments="$tests checks kcsan" ;;
	rt)
		OBJ=$BUILD/obj-rt fragments="$tests rt"
		# What is inlined into Rust code has to be of the same LLVM as that.
		llvm=$("$RUSTC" -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
		;;
	distro) use_flavour && OBJ=$BUILD/obj-$flavour fragments="slowpath $fragments" ;;
	distro-mainline)
		use_flavour && LINUX=$BUILD/linux-pristine OBJ=$BUILD/obj-$flavour-mainline
		# Nobody looks into it, and this makes no other code.
		[[ $fragments = *no-debug-info ]] || fragments+=' no-debug-info'
		;;
	*) die "there is no kernel '$1': it is one of run, test, plain, mainline, peers, debug, kcsan, rt, distro, distro-mainline" ;;
	esac
	# Debian's compiler for its configuration. What another one builds is another kernel.
	local usual=clang
	[ -z "$flavour" ] || usual=gcc
	case ${CC-} in
	clang | gcc | gcc-[0-9]*) kernel_cc=$CC ;;
	*)
		kernel_cc=$usual
		[ -z "${CC-}" ] || say "The compiler '$CC' is not asked to build the kernel, $usual is: CC can be clang, gcc, or gcc-VERSION"
		;;
	esac
	[ "$kernel_cc" = "$usual" ] || OBJ+=-$kernel_cc
}

# Which two kernels are compared, in our configuration or with CONFIG=debian in Debian's; $whose it is.
compared_kernels() {
	case ${CONFIG:-ours} in
	ours) whose=our mainline=mainline ours=plain ;;
	debian) whose="Debian's" mainline=distro-mainline ours=distro ;;
	*) die "there is no configuration '$CONFIG': it is ours or debian" ;;
	esac
}

# Builds one of them. What is a module in Debian's configuration does not take part.
# build_compared KERNEL
build_compared() {
	case $1 in
	distro) scripts/build-kernel --kernel distro bzImage kernel/slowpath/slowpath.ko ;;
	distro-mainline) scripts/build-kernel --kernel distro-mainline bzImage ;;
	*) scripts/build-kernel --kernel "$1" ;;
	esac
}

# Takes a defect that scripts/test-mutants has planted out of the tree again.
restore_tree() {
	[ -s "$BUILD/mutant/name" ] || return 0
	local at
	at=$(cat "$BUILD/mutant/name")
	# A link to a file of ours is one again, which is to be built.
	cp -dpf --remove-destination "$BUILD/mutant/file" "$LINUX/$at"
	touch "$LINUX/$at"
	rm "$BUILD/mutant/name"
}

# How many CPUs the VMs that run at the same time have together, if nobody has said it: emulated ones that
# have to share one of ours wait for each other, and are slower than one after the other. Each VM has a CPU
# at least, and 2 GiB.
VM_CPUS=${VM_CPUS:-$((gibibytes < 4 ? 1 : gibibytes / 2 < $(nproc) ? gibibytes / 2 : $(nproc)))}
[[ $VM_CPUS =~ ^[1-9][0-9]{0,3}$ ]] || die "VM_CPUS=$VM_CPUS is not a number of CPUs"
declare -A cpus_of=()
cpus_used=0 ended_badly=''

# Runs a command that starts a VM in the background, beside others as far as $VM_CPUS allows; all_ended
# waits for them, and fails if one has.
# begin CPUS COMMAND...
begin() {
	local cpus=$1
	shift
	while [ ${#cpus_of[@]} -gt 0 ] && [ $((cpus_used + cpus)) -gt "$VM_CPUS" ]; do one_ended; done
	"$@" &
	cpus_of[$!]=$cpus cpus_used=$((cpus_used + cpus))
}
one_ended() {
	local pid=''
	wait -n -p pid || ended_badly=1
	cpus_used=$((cpus_used - cpus_of[$pid]))
	unset "cpus_of[$pid]"
}
all_ended() {
	while [ ${#cpus_of[@]} -gt 0 ]; do one_ended; done
	[ -z "$ended_badly" ]
}

# /dev/kvm may exist on a machine that cannot run a guest.
can_kvm() { grep -qwE 'vmx|svm' /proc/cpuinfo && [ -w /dev/kvm ]; }

# The tree without the patches, beside the one with them.
pristine_tree() {
	[ -d "$BUILD/linux-pristine" ] || quietly worktree.log "Checking out the pristine tree" \
		git -C "$BUILD/linux" worktree add --detach "$BUILD/linux-pristine" base
}

# The version of a kernel tree.
version_of() {
	awk '$2 == "=" && /^(VERSION|PATCHLEVEL|SUBLEVEL) / { v = v (v == "" ? "" : ".") $3 }
		/^NAME/ { print v; exit }' "$1/Makefile"
}

# Debian's release, or nothing on another distribution.
debian_release() {
	# shellcheck disable=SC1091
	(. /etc/os-release && [ "${ID-}" = debian ] && echo "${VERSION_ID-}") || true
}

# The mirror that this machine is configured to use.
debian_mirror() {
	local mirror
	mirror=$(apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(LABEL)' |
		awk '$2 == "Debian" && $3 == "Debian" { print $1; exit }')
	[ -n "$mirror" ] || die "no Debian mirror is configured: run 'apt-get update' once"
	echo "$mirror"
}

# apt with a state of our own: the system's sources stay as they are.
# private_apt SUITE... -- APT-COMMAND...
private_apt() {
	local state=$BUILD/apt mirror options suite
	mirror=$(debian_mirror)
	mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
	: >"$state/sources.list"
	for suite; do
		shift
		[ "$suite" != -- ] || break
		echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" \
			>>"$state/sources.list"
	done
	options=(-o "Dir::Etc::sourcelist=$state/sources.list" -o Dir::Etc::sourceparts=/dev/null
		-o "Dir::State::lists=$state/lists" -o "Dir::Cache=$state/cache"
		-o APT::Sandbox::User=root -q)
	as_root apt-get "${options[@]}" update &&
		as_root env DEBIAN_FRONTEND=noninteractive apt-get "${options[@]}" "$@"
}

# Downloads one of the kernel's packages, from where Debian has it for the release that runs here, or for others.
# download_of_kernel PACKAGE FOLDER
download_of_kernel() {
	local release suite
	# shellcheck disable=SC1091
	release=$(. /etc/os-release && echo "${VERSION_CODENAME-}")
	for suite in "$release-backports" trixie-backports forky sid; do
		! (cd "$2" && private_apt "$suite" -- download "$1") || return 0
	done
	return 1
}
