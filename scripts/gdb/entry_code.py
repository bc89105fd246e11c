# SPDX-License-Identifier: GPL-2.0
"""Finds where the entry code decides, in its text as it runs: its alternatives are applied at boot,
and its local labels are not in the symbol table."""

import re
from dataclasses import dataclass

import gdb

import kernel_state as kernel

# The calls to stop at, in assembly or in the C functions among them, and whether what they return
# matters.
CALLS = {
    "do_syscall_64": False,
    "syscall_64_handled": False,
    "syscall_64_handled_return": False,
    "syscall_64_with_work": False,
    "syscall_64_passed_return": False,
    "syscall_64_slow_return": False,
    "x64_sys_call": True,
    "x32_sys_call": False,
    "syscall_user_dispatch": True,
    "ptrace_report_syscall_permit_entry": True,
    "syscall_slowpath_enter": True,
    "syscall_slowpath_enter_traced": True,
    "__seccomp_permit_syscall": True,
    "trace_syscall_enter": False,
    "syscall_enter_audit": False,
    "__syscall_slowpath_exit_work": True,
    "trace_syscall_exit": False,
    "ptrace_report_syscall_exit": False,
    "exit_to_user_mode_loop": False,
}
C_FUNCTIONS = (
    "do_syscall_64",
    "syscall_exit_to_user_mode_handled",
    "syscall_exit_to_user_mode_passed",
    "syscall_64_handled",
    "syscall_64_handled_return",
    "syscall_64_passed_return",
    "syscall_64_slow_return",
    "syscall_64_with_work",
)


@dataclass(frozen=True)
class Point:
    """An instruction to stop at."""

    address: int
    kind: str  # a test: of what; "call", "returned"; "sysret", "iret", "exit"
    function: str = ""  # the callee
    caller: str = ""
    mask: int = 0  # of an exit test: the thread flags that are looked at
    work: int = -1  # and the work flags


def _disassemble(function: str) -> list[tuple[int, str]]:
    text = gdb.execute(f"disassemble {function}", to_string=True)
    lines = re.findall(r"^(?:=>)?\s+0x([0-9a-f]+) <\+\d+>:\s+(.*)$", text, re.MULTILINE)
    return [(int(address, 16), instruction) for address, instruction in lines]


def _calls(function: str, code: list[tuple[int, str]]) -> list[Point]:
    points = []
    for (address, instruction), (following, _) in zip(code, code[1:]):
        match = re.match(r"call\s+0x[0-9a-f]+ <(\w+)>", instruction)
        if match and match[1] in CALLS:
            points.append(Point(address, "call", match[1], function))
            if CALLS[match[1]]:
                points.append(Point(following, "returned", match[1], function))
    return points


def _tests(code: list[tuple[int, str]]) -> list[Point]:
    """The conditional jumps whose condition is one of ours."""
    work, mode = (
        int(gdb.parse_and_eval(f"(long)&((struct task_struct *)0)->{member}"))
        for member in ("thread_info.syscall_work", "seccomp.mode")
    )
    patterns = {
        "work": rf"cmpq\s+\$0x0,{work:#x}\(%rbx\)",
        "filters": rf"testq\s+\$0xf{{8}}[0-9a-f]*,{work:#x}\(%rbx\)",
        "handler, too": rf"testq\s+\$0x[1-9a-f][0-9a-f]*,{work:#x}\(%rbx\)",
        "handler": rf"cmpq\s+\$0x[1-9a-f][0-9a-f]*,{work:#x}\(%rbx\)",
        "mode": rf"cmpl\s+\$0x2,{mode:#x}\(%rbx\)",
        "bitmap": r"bt\s+%esi,\(%rcx\)",
        "flags": r"testl\s+\$0x10100,.*\(%rsp\)",
        "number": r"bt\s+%esi,.*<syscall_64_fast>",
        "group passes": r"test\s+%rdx,%rdx",
        "passes": r"test\s+%rax,%rax",
        "fast exit": r"or\s.*,%rcx",
        "handled exit": r"or\s.*,%rax",
        "barrier": r"cmpb\s.*<x86_ibpb_exit_to_user>",
        "return": r"test\s+%al,%al",
    }
    points, kind, mask, flags_of_work = [], "", 0, -1
    for address, instruction in code:
        if immediate := re.match(r"mov\s+\$0x([0-9a-f]+),%ecx", instruction):
            mask, flags_of_work = int(immediate[1], 16), -1
        if immediate := re.match(r"mov\s+\$0x([0-9a-f]+),%edx", instruction):
            flags_of_work = int(immediate[1], 16)
        if re.match(r"j(e|ne|ae|b|s)\s", instruction):
            if kind:
                points.append(Point(address, kind, mask=mask, work=flags_of_work))
            kind = ""
        elif not instruction.startswith("nop"):
            kind = next((k for k, p in patterns.items() if re.match(p, instruction)), "")
    return points


def jump_is_taken(address: int) -> bool:
    """Whether the conditional jump at which the CPU stands is taken."""
    flags = kernel.register("eflags")
    carry, zero, sign = bool(flags & 1), bool(flags & 1 << 6), bool(flags & 1 << 7)
    jump = gdb.execute(f"x/i {address:#x}", to_string=True).split(":")[1].split()[0]
    return {"je": zero, "jne": not zero, "jb": carry, "jae": not carry, "js": sign}[jump]


def entry() -> int:
    """Where kernel memory can be read, and the registers are still those of user space."""
    return kernel.symbol("entry_SYSCALL_64_safe_stack")


def find_points() -> list[Point]:
    """All places at which a 64-bit system call is decided on."""
    code = _disassemble("entry_SYSCALL_64")
    points = _calls("entry_SYSCALL_64", code) + _tests(code)
    points += [Point(a, "sysret") for a, instruction in code if instruction.startswith("sysret")]
    points.append(Point(kernel.symbol("native_irq_return_iret"), "iret"))
    points.append(Point(kernel.symbol("do_exit"), "exit"))
    for function in C_FUNCTIONS:
        points += _calls(function, _disassemble(function))
    if not any(point.function == "do_syscall_64" for point in points):
        raise gdb.GdbError("the kernel is not the one that gdb has the symbols of: run 'make debug'")
    return points
