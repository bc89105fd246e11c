# SPDX-License-Identifier: GPL-2.0
"""Commands for gdb that follow a 64-bit system call of the kernel under it: which way it goes, and
why. scripts/debug loads them; Documentation/syscall-debugging.rst shows how to use them."""

import os
import sys

import gdb

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
import kernel_state as kernel
import path_words as words
from entry_code import Point, entry, find_points

USAGE = "usage: syscall-watch [--comm NAME | --tid TID] [SYSCALL]"


class Quiet(gdb.Breakpoint):
    """One of ours: enabled only while it is waited for, and without a word."""

    def __init__(self, *what) -> None:
        super().__init__(*what, internal=True)
        self.silent = True
        self.enabled = False
        self.hit = False

    def stop(self) -> bool:
        # Does not look at memory: a Ctrl-C that comes in here is lost.
        self.hit = True
        return True

    def wanted(self) -> bool:
        """Whether what has hit it is what is waited for."""
        raise NotImplementedError


class Entry(Quiet):
    """Stops where a call that is watched enters."""

    def __init__(self) -> None:
        super().__init__(f"*{entry():#x}")
        self.comm = ""
        self.tid = self.nr = -1

    def wanted(self) -> bool:
        if self.nr not in (-1, kernel.register("rax")):
            return False
        task = kernel.current()
        if self.comm and task["comm"].string() != self.comm:
            return False
        return self.tid in (-1, int(task["pid"]))


class Stop(Quiet):
    """Stops where the call that is followed gets to a point."""

    def __init__(self, point: Point, call: "Call") -> None:
        super().__init__(f"*{point.address:#x}")
        self.point = point
        self.call = call

    def wanted(self) -> bool:
        # Between the last test and user space the task cannot always be found.
        if self.call.leaving:
            return gdb.selected_thread().num == self.call.cpu
        return int(kernel.current()) == self.call.task


class Return(Quiet):
    """Stops when the function returns at whose first instruction the CPU stands. It may sleep, and
    what others do meanwhile takes long to follow; but only its RET reads where it returns to."""

    def __init__(self) -> None:
        slot = f"*(unsigned long *){kernel.register('rsp'):#x}"
        super().__init__(slot, gdb.BP_WATCHPOINT, gdb.WP_READ)
        self.address = int(gdb.parse_and_eval(slot))

    def wanted(self) -> bool:
        return kernel.register("rip") == self.address


def _quietly(command: str) -> None:
    """Runs the kernel without a word on where it stops."""
    gdb.execute(f"with suppress-cli-notifications on -- {command}", to_string=True)


class Call:
    """The call that is followed, or none."""

    def __init__(self) -> None:
        self.entry = Entry()
        self.stops = [Stop(point, self) for point in find_points()]
        self.task = 0
        self.cpu = 0
        self.has_frame = self.leaving = False
        self.last: Point | None = None

    def _run(self, breakpoints: list[Quiet]) -> Quiet | None:
        """Goes on to one of these, or until something else stops the VM."""
        for breakpoint_ in breakpoints:
            breakpoint_.enabled = True
        try:
            while True:
                _quietly("continue")
                hit = [b for b in breakpoints if b.hit]
                for breakpoint_ in hit:
                    breakpoint_.hit = False
                if not hit:
                    return None
                if hit[0].wanted():
                    return hit[0]
        finally:
            for breakpoint_ in breakpoints:
                breakpoint_.enabled = breakpoint_.hit = False

    def _finish_callee(self) -> Quiet | None:
        """Makes the call at which the CPU stands."""
        _quietly("stepi")
        callee = Return()
        try:
            return self._run([callee, *[s for s in self.stops if s.point.kind == "exit"]])
        finally:
            callee.delete()

    def watch(self) -> str:
        """Goes on to the entry of the next call that is watched."""
        self.task, self.last = 0, None
        if not self._run([self.entry]):
            raise stopped_elsewhere()
        task = kernel.current()
        self.task, self.cpu = int(task), gdb.selected_thread().num
        self.has_frame = self.leaving = False
        name = kernel.describe_syscall(kernel.register("rax"))
        return f"{kernel.describe_task(task)} calls {name}() from {kernel.register('rcx'):#x}"

    def step(self) -> str:
        """Goes on to the next point of the call."""
        if not self.task:
            raise gdb.GdbError("no call is followed: 'syscall-watch' waits for one")
        last, stop = self.last, None
        if last and words.is_opaque(last) and kernel.register("rip") == last.address:
            stop = self._finish_callee()
            if not stop:
                raise stopped_elsewhere()
            if isinstance(stop, Return):
                stop = next((s for s in self.stops if s.point.address == stop.address), None)
        if not stop:
            # Others leave, too; where they do so, this task cannot be told from them.
            stop = self._run(
                [s for s in self.stops if self.leaving or s.point.kind not in words.RETURNS]
            )
        if not isinstance(stop, Stop):
            raise stopped_elsewhere()
        self.last = point = stop.point
        self.has_frame = True
        text = words.say(point, last)
        self.cpu = gdb.selected_thread().num
        self.leaving = words.leads_out(point)
        if words.ends_call(point):
            self.task = 0
        return text


def stopped_elsewhere() -> gdb.GdbError:
    """For a breakpoint of the user's, or an interrupt from the keyboard."""
    return gdb.GdbError(f"stopped before that, in {kernel.name_at(kernel.register('rip'))}")


CALL: list[Call] = []


def the_call() -> Call:
    """Made when it is first needed: then the kernel has booted, and its text is final."""
    if not CALL:
        CALL.append(Call())
    return CALL[0]


class SyscallWatch(gdb.Command):
    """Go on until a task enters a system call.

syscall-watch [--comm NAME | --tid TID] [SYSCALL]

The task is any, or that with a name or a number; the call is any, or one by name or number. Without
arguments, those of the last time."""

    def __init__(self) -> None:
        super().__init__("syscall-watch", gdb.COMMAND_RUNNING)

    def invoke(self, argument: str, from_tty: bool) -> None:
        call = the_call()
        arguments = gdb.string_to_argv(argument)
        if arguments:
            comm, tid, nr = "", -1, -1
            while arguments:
                word = arguments.pop(0)
                if word == "--comm" and arguments:
                    comm = arguments.pop(0)
                elif word == "--tid" and arguments and arguments[0].isdecimal():
                    tid = int(arguments.pop(0))
                elif word.startswith("-") or arguments:
                    raise gdb.GdbError(USAGE)
                else:
                    nr = kernel.syscall_number(word)
            call.entry.comm, call.entry.tid, call.entry.nr = comm, tid, nr
        print(call.watch())


class SyscallStep(gdb.Command):
    """Go on to where the next thing is decided on the way of the call, and say what and why.

syscall-step [COUNT]"""

    def __init__(self) -> None:
        super().__init__("syscall-step", gdb.COMMAND_RUNNING)

    def invoke(self, argument: str, from_tty: bool) -> None:
        for _ in range(int(argument or "1")):
            print(the_call().step())


class SyscallFinish(gdb.Command):
    """Go on to the end of the call, and say all that is decided on its way."""

    def __init__(self) -> None:
        super().__init__("syscall-finish", gdb.COMMAND_RUNNING)

    def invoke(self, argument: str, from_tty: bool) -> None:
        call = the_call()
        print(call.step())
        while call.task:
            print(call.step())


class SyscallFrame(gdb.Command):
    """Print the pt_regs of the call that the task on this CPU is in."""

    ARGUMENTS = ("di", "si", "dx", "r10", "r8", "r9")

    def __init__(self) -> None:
        super().__init__("syscall-frame", gdb.COMMAND_DATA)

    def invoke(self, argument: str, from_tty: bool) -> None:
        if kernel.register("gs_base") < 2**63:
            raise gdb.GdbError("the CPU is not in the kernel: 'syscall-watch' goes there")
        if CALL and CALL[0].task and not CALL[0].has_frame:
            raise gdb.GdbError("assembly has not built the frame yet: 'syscall-step' goes on")
        regs = kernel.frame()
        print(f"pt_regs of {kernel.describe_task(kernel.current())} at {int(regs):#x}:")
        for field in sorted(regs.type.target().fields(), key=lambda f: f.bitpos):
            names = [field.name] if field.name else [f.name for f in field.type.fields()]
            name = names[0]
            value = int(regs[name]) & (2**64 - 1)
            print(f"  {name:<8} {value:#018x}  {self._note(name, value)}".rstrip())

    def _note(self, name: str, value: int) -> str:
        if name == "orig_ax":
            return kernel.describe_syscall(value)
        if name == "ax":
            return kernel.describe_result(value)
        if name == "flags":
            # The bit that is always set has no meaning.
            return kernel.describe_bits(value & ~2, kernel.CPU_FLAGS)
        return f"argument {self.ARGUMENTS.index(name)}" if name in self.ARGUMENTS else ""


SyscallWatch()
SyscallStep()
SyscallFinish()
SyscallFrame()
