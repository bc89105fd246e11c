# SPDX-License-Identifier: GPL-2.0
"""Says in words what is decided at a point of the entry code, and why."""

from typing import Callable

import gdb

import kernel_state as kernel
from entry_code import C_FUNCTIONS, Point, jump_is_taken

# Of arch/x86/entry/syscall_64.c, by value.
HANDLED_EXITS = ("HANDLED_EXIT_FAST", "HANDLED_EXIT_SYSRET", "HANDLED_EXIT_IRET")
X32_BIT = 0x40000000
RETURNS = ("sysret", "iret")


def _work() -> int:
    return int(kernel.current()["thread_info"]["syscall_work"])


def _is_filtered() -> bool:
    return _describe_work() == "SYSCALL_WORK_SECCOMP"


def _describe_work() -> str:
    return kernel.describe_bits(_work(), kernel.WORK_BITS)


def _call_name() -> str:
    nr = int(kernel.frame()["orig_ax"])
    # rt_sigreturn leaves -1, so that nothing restarts it.
    return "the call" if nr == 2**64 - 1 else f"{kernel.describe_syscall(nr)}()"


def _pending(point: Point) -> str:
    """What an exit test finds, in the order in which it looks."""
    task = kernel.current()
    found = []
    if flags := int(task["thread_info"]["flags"]) & point.mask:
        found.append(kernel.describe_bits(flags, kernel.THREAD_BITS))
    if work := _work() & point.work:
        found.append(kernel.describe_bits(work, kernel.WORK_BITS))
    if "unwind_info" in task.type.target() and int(task["unwind_info"]["unwind_mask"]["counter"]):
        found.append("a deferred unwinding")
    return ", ".join(found)


def _sysret_obstacles() -> list[str]:
    """Why the registers need IRET: what can_sysret() tests."""
    regs = kernel.frame()
    ip, flags = int(regs["ip"]), int(regs["flags"])
    obstacles = []
    if int(regs["cx"]) != ip:
        obstacles.append("CX is not IP, as SYSRET needs")
    if int(regs["r11"]) != flags:
        obstacles.append("R11 is not FLAGS, as SYSRET needs")
    if (int(regs["cs"]) & 0xFFFF, int(regs["ss"]) & 0xFFFF) != (0x33, 0x2B):
        obstacles.append("CS or SS is another")
    if ip >> 47:
        obstacles.append("IP is not an address of user space")
    if flags & 0x10100:
        obstacles.append("TF or RF is set")
    return obstacles


def _test_work(_: Point, taken: bool) -> str:
    if taken:
        return f"work test: syscall_work is {_describe_work()} -> off the fast path"
    return "work test: syscall_work is 0, the task has no work -> next test"


def _either(if_taken: str, otherwise: str) -> Callable[[Point, bool], str]:
    """The words for a test about which no more is to be said."""
    return lambda _, taken: if_taken if taken else otherwise


def _test_number(_: Point, taken: bool) -> str:
    nr = int(kernel.frame()["orig_ax"]) & 0xFFFFFFFF
    call = f"{kernel.describe_syscall(nr)} is {nr}"
    if not taken:
        where = "next test" if _work() else "dispatch in assembly"
        return f"number test: {call}, below {kernel.NR_SYSCALLS}, its fast bit is set -> {where}"
    if nr & X32_BIT:
        why = "an x32 number"
    elif nr >= kernel.NR_SYSCALLS:
        why = f"and must be below {kernel.NR_SYSCALLS}"
    else:
        words = (kernel.NR_SYSCALLS + 31) // 32
        bits = gdb.parse_and_eval(f"*(unsigned int (*)[{words}])&syscall_64_fast")
        none = not any(int(bits[i]) for i in range(words))
        why = "all fast bits are clear: rseq_debug is on" if none else (
            "its fast bit is clear: syscall_64.tbl qualifies it"
        )
    return f"number test: {call}, {why} -> do_syscall_64()"


def _test_fast_exit(point: Point, taken: bool) -> str:
    if taken:
        work = "syscall_work is 0"
        if _work():
            work = f"{'seccomp' if _is_filtered() else 'the handler'} has nothing to do"
        return f"exit test: no flag that the exit handles, {work} -> SYSRET from assembly"
    return f"exit test: {_pending(point)} -> C ends the call"


def _test_passes(_: Point, taken: bool) -> str:
    if taken:
        return f"pass test: the handler has to be asked about {_call_name()} -> syscall_64_handled()"
    return f"pass test: the group lets {_call_name()} pass, which is counted -> dispatch in assembly"


def _left() -> str:
    """What syscall_64_handled(), or syscall_64_with_work(), has left to be done, where ESI has it."""
    return HANDLED_EXITS[kernel.register("esi") & 3]


def _test_handled_exit(point: Point, taken: bool) -> str:
    flags = int(kernel.current()["thread_info"]["flags"]) & point.mask
    left = f"{_left()}, {kernel.describe_bits(flags, kernel.THREAD_BITS)}" if flags else _left()
    if taken:
        return f"exit test: {left}, no flag that the exit handles -> SYSRET from assembly"
    return f"exit test: {left} -> syscall_64_handled_return()"


def _test_barrier(_: Point, taken: bool) -> str:
    return f"barrier test: an IBPB is {'due -> C ends the call' if taken else 'not due -> SYSRET'}"


def _test_return(_: Point, taken: bool) -> str:
    if not taken:
        return "return test: C says that the registers are fit for SYSRET -> SYSRET"
    why = ", ".join(_sysret_obstacles()) or "exit work ruled SYSRET out, the registers did not"
    return f"return test: {why} -> IRET"


TESTS = {
    "work": _test_work,
    "handler": _either(
        "handler test: there is other work than a handler's -> next test",
        "handler test: a handler is all the work -> next test",
    ),
    "filters": _either(
        "seccomp test: there is other work than seccomp's -> syscall_64_with_work()",
        "seccomp test: there is no work but seccomp's and a handler's -> next test",
    ),
    "mode": _either(
        "mode test: the task is not under filters -> syscall_64_with_work()",
        "mode test: the task is under filters -> next test",
    ),
    "bitmap": _either(
        "bitmap test: the filters have to judge the call -> syscall_64_with_work()",
        "bitmap test: the filters allow the call, whatever its arguments -> next test",
    ),
    "handler, too": _either(
        "handler test: there is a handler, too -> next test",
        "handler test: there is no handler -> dispatch in assembly",
    ),
    "flags": _either(
        "flags test: TF or RF is set, SYSRET cannot restore it -> do_syscall_64()",
        "flags test: neither TF nor RF is set, SYSRET will do -> next test",
    ),
    "number": _test_number,
    "group passes": _either(
        "group test: the handler has to be asked about each call -> syscall_64_handled()",
        "group test: the task's group lets some calls pass -> next test",
    ),
    "passes": _test_passes,
    "fast exit": _test_fast_exit,
    "handled exit": _test_handled_exit,
    "barrier": _test_barrier,
    "return": _test_return,
}


def _handler(hook: str) -> str:
    """The handler's function, or why there is none."""
    group = kernel.current()["syscall_slowpath"]
    if not int(group):
        return "none: the task is not attached, but forced, or was detached just now"
    function = int(group[hook])
    return kernel.name_at(function) if function else "none: it has no such hook, or none that is wanted"


def _call(point: Point, previous: Point | None) -> str:
    name = point.function
    if name == "do_syscall_64":
        work = "C does the entry work, makes the call, and does the exit work"
        return f"do_syscall_64(): {work}" if previous else f"do_syscall_64(): the fast path is off; {work}"
    if name == "syscall_64_handled":
        return "syscall_64_handled(): C runs the handler, and makes the call in between"
    if name == "syscall_64_with_work":
        return f"{name}(): C does the entry work, makes the call, and does the exit work"
    if name == "syscall_64_handled_return":
        tested = previous and previous.kind in ("handled exit", "barrier")
        why = "" if tested else ": with context tracking it always does"
        return f"syscall_64_handled_return(): C ends the call, with {_left()}{why}"
    if name == "syscall_64_passed_return":
        return "syscall_64_passed_return(): C does the exit work, of which the handler is only told"
    if name == "syscall_64_slow_return":
        return "syscall_64_slow_return(): C does the exit work, and chooses the return"
    if name in ("x64_sys_call", "x32_sys_call"):
        return f"dispatch: {name}() makes {_call_name()}, called by {point.caller}()"
    if name.startswith("syscall_slowpath_enter"):
        return f"handler's enter: {_handler('enter')}"
    if name == "__syscall_slowpath_exit_work":
        return f"handler's exit_work: {_handler('exit_work')}"
    if name == "exit_to_user_mode_loop":
        flags = kernel.describe_bits(kernel.register("rsi"), kernel.THREAD_BITS)
        return f"exit loop: {flags}"
    return f"{'exit' if 'exit' in name else 'entry'} work: {name}()"


def _returned(point: Point) -> str:
    name, value = point.function, kernel.register("rax")
    if name == "x64_sys_call":
        return f"result: {_call_name()} returned {kernel.describe_result(value)}"
    if name == "syscall_slowpath_enter":
        if value == 2**64 - 1:
            return "handler's enter: the call is not to be made"
        return f"handler's enter: {kernel.describe_syscall(value)}() is to be made"
    if name == "syscall_slowpath_enter_traced":
        return f"handler's enter: {_call_name()} {'may' if value & 1 else 'must not'} be made"
    if name == "__syscall_slowpath_exit_work":
        return f"handler's exit_work: SYSRET is {'still allowed' if value & 1 else 'ruled out'}"
    if name == "syscall_user_dispatch":
        return f"entry work: {name}() {'took the call' if value & 1 else 'lets the call go on'}"
    return f"entry work: {name}() {'lets the call go on' if value & 1 else 'refused the call'}"


def ends_call(point: Point) -> bool:
    """Whether user space comes next, or nothing."""
    return point.kind in (*RETURNS, "exit")


def is_opaque(point: Point) -> bool:
    """Whether this is a call of what has no points of its own."""
    return point.kind == "call" and point.function not in C_FUNCTIONS


def leads_out(point: Point) -> bool:
    """Whether the way from here to user space has interrupts off: no other task can get here."""
    if point.kind in ("fast exit", "handled exit"):
        return jump_is_taken(point.address)
    return point.kind == "return" or point.kind == "barrier" and not jump_is_taken(point.address)


def say(point: Point, previous: Point | None) -> str:
    """What happens at this point, where the CPU stands, and which came after another."""
    if point.kind in TESTS:
        return TESTS[point.kind](point, jump_is_taken(point.address))
    if point.kind == "call":
        return _call(point, previous)
    if point.kind == "returned":
        return _returned(point)
    if point.kind == "exit":
        return "do_exit(): the task ends here, and the call does not return"
    # The frame cannot be read any more: GS and, perhaps, the page tables are those of user space.
    result = kernel.describe_result(kernel.register("rax"))
    if point.kind == "sysret":
        return f"SYSRET to {kernel.register('rcx'):#x}, ax is {result}. The call is over."
    ip = int(gdb.parse_and_eval("*(unsigned long *)$rsp"))
    return f"IRET to {ip:#x}, ax is {result}. The call is over."
