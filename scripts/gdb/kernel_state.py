# SPDX-License-Identifier: GPL-2.0
"""What gdb needs to know of the stopped kernel: names of bits and numbers, the task, its frame."""

import os
import re

import gdb


def _read_macros() -> dict[str, int]:
    path = os.path.join(os.environ["BUILD"], "debug", "macros")
    with open(path, encoding="ascii") as file:
        found = re.findall(r"^#define (\w+) (\d+)$", file.read(), re.MULTILINE)
    return {name: int(value) for name, value in found}


MACROS = _read_macros()
TASK = gdb.lookup_type("struct task_struct").pointer()
FRAME = gdb.lookup_type("struct pt_regs").pointer()
WORK_BITS = {
    field.enumval: field.name.replace("_BIT_", "_", 1)
    for field in gdb.lookup_type("enum syscall_work_bit").fields()
}
THREAD_BITS = {bit: name for name, bit in MACROS.items() if name.startswith("TIF_")}
CPU_FLAGS = {
    bit: name[len("X86_EFLAGS_") : -len("_BIT")]
    for name, bit in MACROS.items()
    if re.fullmatch(r"X86_EFLAGS_(?!FIXED)[A-Z]+_BIT", name)
}
NR_SYSCALLS = MACROS["__NR_syscalls"]
SYSCALLS = {
    nr: name[len("__NR_") :]
    for name, nr in MACROS.items()
    if re.match(r"__NR_(?!ia32_)[a-z]", name) and nr < NR_SYSCALLS
}
ERRNOS = {
    nr: name
    for name, nr in MACROS.items()
    if re.fullmatch(r"E[A-Z0-9]+|ERESTART_RESTARTBLOCK", name)
}


def register(name: str) -> int:
    """A register of the CPU that gdb looks at, unsigned."""
    return int(gdb.parse_and_eval(f"${name}")) & (2**64 - 1)


def symbol(name: str) -> int:
    """The address of a symbol."""
    return int(gdb.parse_and_eval(f"(unsigned long)&'{name}'"))


def name_at(address: int) -> str:
    """The function at an address, in the kernel or in a module."""
    text = gdb.execute(f"info symbol {address:#x}", to_string=True)
    if " in section " not in text:
        return f"{address:#x}"
    # Of a name in Rust, without the hash of each crate.
    return re.sub(r"\[[0-9a-f]{16}\]", "", text.split(" in section ")[0])


def percpu(name: str) -> int:
    """A per-CPU word of this CPU, which has to be behind SWAPGS."""
    address = (symbol(name) + register("gs_base")) & (2**64 - 1)
    return int(gdb.parse_and_eval(f"*(unsigned long *){address:#x}"))


def current() -> gdb.Value:
    """The task on this CPU."""
    return gdb.Value(percpu("current_task")).cast(TASK)


def frame() -> gdb.Value:
    """The pt_regs of the system call that the task on this CPU is in."""
    top = percpu("cpu_current_top_of_stack")
    return gdb.Value(top - FRAME.target().sizeof).cast(FRAME)


def describe_task(task: gdb.Value) -> str:
    """The task's name and number, as in "cat[52]"."""
    return f"{task['comm'].string()}[{int(task['pid'])}]"


def describe_bits(value: int, names: dict[int, str]) -> str:
    """The names of the bits that are set, and the number of one without a name."""
    bits = [bit for bit in range(value.bit_length()) if value >> bit & 1]
    return " ".join(names.get(bit, f"bit {bit}") for bit in bits) or "none"


def describe_syscall(nr: int) -> str:
    """The name of a system call, or its number if it has none."""
    return SYSCALLS.get(nr, f"syscall {nr}")


def describe_result(value: int) -> str:
    """A result as user space takes it: an error by name."""
    if value >= 2**63:
        value -= 2**64
    return f"-{ERRNOS[-value]}" if -4095 <= value < 0 and -value in ERRNOS else str(value)


def syscall_number(text: str) -> int:
    """The number of a system call that is given by name or number."""
    for nr, name in SYSCALLS.items():
        if name == text:
            return nr
    if text.isdecimal():
        return int(text)
    raise gdb.GdbError(f"there is no system call '{text}'")
