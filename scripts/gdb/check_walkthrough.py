# SPDX-License-Identifier: GPL-2.0
"""Runs the commands of Documentation/syscall-debugging.rst, in gdb, and prints as KTAP whether they
say there what they say here, and whether the kernel has counted the calls on the paths they name."""

import re
import sys
from collections import Counter

import gdb

import kernel_state as kernel

PAGE = "Documentation/syscall-debugging.rst"
# What is said of a path, and how the kernel counts that: SYSCALL_PATH_*.
CLAIMS = (
    ("-> dispatch in assembly", "FAST"),
    ("do_syscall_64(): C does", "SLOW"),
    ("its fast bit is clear", "SLOW_QUALIFIED"),
    ("syscall_64_slow_return(): C does", "SLOW_RETURN"),
    ("-> SYSRET\n", "SYSRET"),
    ("-> IRET\n", "IRET"),
    ("syscall_64_handled(): C runs", "HANDLED"),
    ("syscall_64_with_work(): C does", "HANDLED"),
)


def read_page() -> dict[str, list[tuple[str, str]]]:
    """The sections that have commands: of each, the commands and what they print."""
    sections: dict[str, list[tuple[str, str]]] = {}
    with open(PAGE, encoding="utf-8") as file:
        text = file.read()
    titles = list(re.finditer(r"^(\S.*)\n=+\n", text, re.MULTILINE))
    for title, following in zip(titles, titles[1:] + [None]):
        body = text[title.end() : following.start() if following else len(text)]
        shown = "".join(re.findall(r"^ {4}(.*\n)", body, re.MULTILINE))
        commands = re.findall(r"^\(gdb\) (.*)\n((?:(?!\(gdb\)).*\n)*)", shown, re.MULTILINE)
        if commands:
            sections[re.sub(r"\W+", "_", title[1].lower())] = commands
    return sections


def without_values(text: str) -> str:
    """What does not differ from boot to boot."""
    text = re.sub(r"0x[0-9a-f]{8,}", "ADDRESS", text)
    text = re.sub(r"\[\d+\]", "[TID]", text)
    text = re.sub(r"(returned|ax is) \d{2,}", r"\1 NUMBER", text)
    # Flags that the last comparison of the program has left.
    return re.sub(r"^(  flags .*?)  .*$", r"\1", text, flags=re.MULTILINE)


def counts(task: int) -> Counter:
    """What the kernel has counted for a task, without what is zero."""
    paths = gdb.Value(task).cast(kernel.TASK)["thread"]["syscall_paths"]
    names = [name for _, name in CLAIMS]
    return Counter({name: int(paths[kernel.MACROS[f"SYSCALL_PATH_{name}"]]) for name in names})


def run(commands: list[tuple[str, str]]) -> tuple[list[str], list[str]]:
    """Runs a section's commands. Returns what differs from the page, and from the counts."""
    differences, said, task, before = [], "", 0, Counter()
    for command, expected in commands:
        output = gdb.execute(command, to_string=True)
        said += output
        if command.startswith("syscall-watch"):
            task = int(kernel.current())
            before = counts(task)
        if without_values(output) != without_values(expected):
            differences += [f"'{command}' is to print:", *expected.splitlines()]
            differences += ["and prints:", *output.splitlines()]
    claimed = Counter(name for words, name in CLAIMS if words in said)
    counted = counts(task)
    counted.subtract(before)
    if +counted == claimed:
        return differences, []
    return differences, [f"the kernel counts {dict(+counted)}, and said is {dict(claimed)}"]


def check(commands: list[tuple[str, str]]) -> list[str]:
    """Returns what is wrong with a section."""
    for _ in range(3):
        try:
            differences, contradictions = run(commands)
        except (gdb.error, KeyboardInterrupt) as error:
            return [str(error) or "interrupted"]
        # An interrupt may bring one call exit work, but hardly three.
        if contradictions or not differences:
            break
    return differences + contradictions


# gcc has the tracer's stops in functions of their own, which are not among those that are followed.
BY_CLANG_ALONE = {"with_other_work"}


def main() -> None:
    """All sections."""
    sections, failed = read_page(), False
    assert BY_CLANG_ALONE <= sections.keys(), "the page has no such section"
    by_gcc = "gcc" in gdb.parse_and_eval("(char *)&linux_banner").string()
    print(f"KTAP version 1\n1..{len(sections)}")
    for number, (name, commands) in enumerate(sections.items(), 1):
        if by_gcc and name in BY_CLANG_ALONE:
            print(f"ok {number} {name} # SKIP gcc lays this way out in other functions")
            continue
        complaints = check(commands)
        failed = failed or bool(complaints)
        for complaint in complaints:
            print(f"# {complaint}")
        print(f"{'not ok' if complaints else 'ok'} {number} {name}")
        sys.stdout.flush()
    try:
        gdb.execute("disconnect", to_string=True)
    except gdb.error:
        # The VM has ended.
        failed = True
    if failed:
        gdb.execute("quit 1")


main()
