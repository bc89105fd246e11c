# SPDX-License-Identifier: GPL-2.0

B := .build
SHELL := /bin/bash
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-print-directory --no-builtin-rules

# What only tests need is built for them alone.
KIND := $(if $(filter test check,$(firstword $(subst -, ,$(MAKECMDGOALS)))),test,run)
# What another compiler than the usual one builds is another kernel. The environment's is for programs.
ifeq ($(origin CC),command line)
KERNEL := $(B)/$(KIND)$(patsubst %,-%,$(filter gcc gcc-%,$(CC)))
else
unexport CC
KERNEL := $(B)/$(KIND)
endif

rust_of = $(shell find $(1) -name '*.rs' 2>/dev/null)
# Those that are laid over the kernel tree.
our_files := $(shell find linux rust/kernel -type f)

help:	## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile

run: $(KERNEL)-modules.stamp	## Boot, and show a live task being steered, filtered and let go
	@scripts/build-slowctl
	@scripts/boot scripts/guest/demo

run-server: $(KERNEL)-modules.stamp	## Put a policy on a running nginx, under load in the VM
	@scripts/demo-server

run-container: $(KERNEL)-modules.stamp	## Put Docker's profile on a running container of podman
	@scripts/run-container

run-record: $(KERNEL)-modules.stamp	## Record what a running nginx calls, and enforce that
	@scripts/demo-record $(ARGS)

test: $(KERNEL)-modules.stamp	## Run every test; ARGS='PART-OF-A-NAME...' chooses kselftests
	@scripts/test $(ARGS)

test-gcc:	## Run every test on the kernel as gcc builds it; ARGS as for test
	@$(MAKE) CC=gcc test

test-debug: $(KERNEL)-modules.stamp	## The kselftests on kernels with KASAN, lockdep, KCSAN; ARGS as for test
	@scripts/test-debug $(ARGS)

test-rt: $(KERNEL)-modules.stamp	## Kselftests on a kernel with PREEMPT_RT; ARGS as for test
	@scripts/test-rt $(ARGS)

test-fred: $(KERNEL)-modules.stamp	## Kselftests where system calls come by FRED, in the Bochs of the folder BOCHS
	@BOCHS="$(BOCHS)" scripts/test-fred $(ARGS)

test-mutants: $(KERNEL)-modules.stamp	## Plant defects, each of which the kselftests have to find; ARGS names some
	@scripts/test-mutants $(ARGS)

test-load: $(KERNEL)-modules.stamp	## Run a general load, half of it attached, for ten minutes
	@scripts/test-load

test-all:	## Run all tests, for some hours; ARGS=--resume goes on after what has passed
	@scripts/test-all $(ARGS)

test-rules: $(B)/series.stamp	## Run the tests of the rule engine, on the host
	@scripts/test-rules

test-profiles: $(B)/series.stamp	## Have libseccomp judge the rules that slowctl makes of profiles
	@scripts/test-profiles

fuzz-rules: $(B)/series.stamp	## Fuzz the parser of rules for ten minutes
	@scripts/fuzz-rules

slowctl: $(B)/series.stamp	## Build the command line, .build/slowctl
	@scripts/build-slowctl

shell: $(KERNEL)-modules.stamp	## A shell in the VM, with the module loaded
	@scripts/build-slowctl
	@scripts/boot --shell

debug: $(KERNEL)-modules.stamp	## Follow a syscall in gdb; DEBUG='--cpu MODEL -- COMMAND...'
	@scripts/debug $(DEBUG)

kernel: $(KERNEL).stamp	## Build the kernel

modules: $(KERNEL)-modules.stamp	## Build the kernel and the module

rustdoc: $(KERNEL).stamp	## Build the documentation of kernel::syscall_slowpath
	@scripts/build-rustdoc

check: $(KERNEL)-modules.stamp	## Formatters, clippy, checkpatch, W=1; and check-configs
	@scripts/check

check-configs: $(B)/series.stamp	## Compile what the series touches as others have it configured
	@scripts/check-configs

bench: $(B)/series.stamp	## Count what syscalls cost, here and on mainline; CONFIG=debian in Debian's configuration
	@CONFIG=$(CONFIG) scripts/bench $(ARGS)

bench-against: $(B)/series.stamp	## Fail if a null call costs more than at the commit REV, or in README's tables
	@scripts/bench --against $(or $(REV),README)

distro-kernel: $(B)/series.stamp	## A kernel in Debian's configuration: FLAVOUR=cloud, amd64 or rt; FULL=1 with all drivers
	@scripts/build-kernel --kernel distro

deb: $(B)/series.stamp	## Debian packages of that kernel and of slowctl, in .build/deb
	@scripts/package

test-distro: $(B)/series.stamp	## Install the packages on a Debian system in a VM, and use them there
	@scripts/package
	@scripts/test-distro $(ARGS)

series: $(B)/series.stamp	## Make the series as it would be mailed, in .build/series
	@scripts/series mail

test-series: $(B)/series.stamp	## Build each patch of the series by itself, in order
	@scripts/test-series

conformance: $(B)/series.stamp	## Run the kernel's own selftests here and on mainline, and compare
	@scripts/conformance $(ARGS)

compare-disabled: $(KERNEL).stamp	## Show that the kernel is unchanged with the option off
	@scripts/compare-disabled

clean:	## Remove what was built, keep what was downloaded
	@rm -rf $(B)/obj $(B)/obj-* $(B)/target $(B)/vm* $(B)/debug $(B)/*.log $(B)/*.stamp $(B)/slowctl $(B)/slowctl.tap $(B)/series-built

distclean:	## Remove everything that is not part of the checkout
	@rm -rf $(B)

$(B)/tools.stamp: scripts/install-tools
	@scripts/install-tools
	@touch $@

$(B)/series.stamp: $(B)/tools.stamp $(wildcard patches/*/*.patch) $(our_files) scripts/fetch-kernel scripts/series
	@scripts/fetch-kernel
	@scripts/series apply
	@touch $@

# A kernel that was asked for by name must be the one that is there.
ifneq ($(KERNEL_SRC)$(KERNEL_TARBALL),)
export KERNEL_SRC KERNEL_TARBALL
$(B)/series.stamp: FORCE
FORCE:
endif

$(KERNEL).stamp: $(B)/series.stamp $(wildcard scripts/config/*.config) scripts/build-kernel Kconfig
	@scripts/build-kernel --kernel $(KIND)
	@touch $@

$(KERNEL)-modules.stamp: $(KERNEL).stamp Kbuild scripts/gen-names $(call rust_of,rust/slowpath samples)
	@scripts/build-kernel --kernel $(KIND) modules
	@touch $@

.PHONY: series test-gcc distro-kernel deb test-distro check-configs help run run-server run-container run-record test test-debug test-rt test-fred test-series test-mutants test-load test-all test-rules test-profiles fuzz-rules slowctl shell debug kernel modules rustdoc check bench conformance compare-disabled clean distclean
