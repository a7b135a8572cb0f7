"""Run the shell blocks of README and tutorial on a bare machine, in order, and compare what they print."""

import re
from typing import Final

from tests.machines.machine import CHECKOUT, Machine, Network
from tests.machines.progress import format_counts, report

README: Final = CHECKOUT / "README.md"
"""Of its commands, `make run` is the tutorial's, and the last three are for developers: they take hours."""

TUTORIAL: Final = CHECKOUT / "docs" / "tutorial.md"
DEMONSTRATION: Final = re.compile(r"^```\n(demo: .*?)^```\n", re.MULTILINE | re.DOTALL)
BLOCK: Final = re.compile(r"^```sh\n(.*?)^```\n(?:\n```\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)
"""A shell block, with the output that the page shows right after it."""

VARYING: Final = re.compile(r"\b(?!0\b)[0-9a-f]*\d[0-9a-f]*\b")
"""Counts other than 0, times, ids and digests: they differ from run to run."""

FOREGROUND: Final = {
    "python3 /tmp/receiver.py": "ss -Hltn 'sport = :9900' | grep -q .",
    "make run": "grep -q 'Ctrl-C stops everything' /tmp/terminal",
}
"""Commands that occupy a terminal, with the condition under which a reader opens the next one."""

READING: Final = "sleep 8"
"""Between two blocks: a reader is slower than the service."""


def run() -> bool:
    """Run both pages and print the last line; return whether each output is as its page shows it."""
    with Network("open-messaging-pages", "10.83.50") as network, Machine(network, "om-1", 11) as machine:
        [demonstration] = DEMONSTRATION.findall(README.read_text("utf-8"))
        outputs = [(demonstration, machine.run("make demo"))]
        report("README: make demo")
        blocks = BLOCK.findall(TUTORIAL.read_text("utf-8"))
        outputs += zip((shown for _, shown in blocks), _run_tutorial(machine, blocks), strict=True)
    differing = [line for shown, output in outputs for line in _missing(shown, output)]
    for line in differing:
        report(f"not printed: {line}")
    compared = sum(bool(shown) for shown, _ in outputs)
    numbers = {"blocks": len(outputs), "compared": compared, "differing": len(differing)}
    print(format_counts("docs-run", numbers), flush=True)
    return not differing


def _run_tutorial(machine: Machine, blocks: list[tuple[str, str]]) -> list[str]:
    """Run each block in the terminal that it belongs to; return what each printed."""
    outputs, session = dict.fromkeys(range(len(blocks)), ""), {}
    for number, (script, _) in enumerate(blocks):
        last = re.sub(r"^\w+=\S+ ", "", script.splitlines()[-1])
        if last in FOREGROUND:
            machine.run("cat >/tmp/block", text=script)
            machine.run("(setsid bash -e /tmp/block >>/tmp/terminal 2>&1 </dev/null &)")
            machine.run(f"until {FOREGROUND[last]}; do sleep 1; done", timeout=900)
            report(f"tutorial, block {number + 1}: {last}")
        else:
            session[number] = f"{script}\n{READING}\necho @@@@"
    printed = machine.run("bash -e", text="\n".join(session.values()))
    report(f"tutorial: the other {len(session)} blocks")
    outputs |= dict(zip(session, printed.split("@@@@\n")[:-1], strict=True))
    return list(outputs.values())


def _missing(shown: str, output: str) -> list[str]:
    """Return the lines that a page shows and that were not printed, apart from what varies."""
    printed = {VARYING.sub("#", line).strip() for line in output.splitlines()}
    return [line for line in shown.splitlines() if VARYING.sub("#", line).strip() not in {*printed, ""}]
