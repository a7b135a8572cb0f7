"""Run the shell blocks of README and docs on bare machines, and compare their output with the pages."""

import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from textwrap import dedent
from typing import Final, NamedTuple

from tests.machines.image import MachineError
from tests.machines.machine import CHECKOUT, Machine, Network
from tests.machines.page_states import AS_READER, HOSTS, NOT_RUN, STATES, VALUES
from tests.machines.progress import conclude, report

README: Final = CHECKOUT / "README.md"
DOCS: Final = CHECKOUT / "docs"
TUTORIAL: Final = DOCS / "tutorial.md"
INSTALL: Final = DOCS / "install.md"
FIRST: Final = (
    "install",
    "simulator",
    "destinations",
    "operations",
    "omctl",
    "runbook",
    "security",
    "database",
)
"""The pages that a new reader works through on one VM, in this order. All others follow, ordered by name."""

DEMONSTRATION: Final = re.compile(r"^```\n(demo: .*?)^```\n", re.MULTILINE | re.DOTALL)
BLOCK: Final = re.compile(r"^( *)```sh\n(.*?)^\1```\n(?:\n\1```\n(.*?)^\1```\n)?", re.MULTILINE | re.DOTALL)
"""Matches a shell block, and the output that the page shows right after it, if any."""

VARYING: Final = re.compile(r"\b(?!0\b)[0-9a-f]*\d[0-9a-f]*\b")
"""Matches counts other than 0, times, ids and digests, all of which differ from run to run."""

FAILING: Final = re.compile(r"^(.+?) +#.* exit status 1$", re.MULTILINE)
"""Matches a command whose comment says that its exit status is 1."""

FOREGROUND: Final = {
    "python3 /tmp/receiver.py": "ss -Hltn 'sport = :9900' | grep -q .",
    "make run": "grep -q 'Ctrl-C stops everything' /tmp/terminal",
    "omctl simulate --platform": "ss -Hltn 'sport = :8090' | grep -q .",
}
"""For each command that occupies a terminal, the condition that a reader awaits before opening a new one."""

SESSION: Final = """\
set -a
if [ -f /tmp/session ]; then . /tmp/session; fi
{script}
export -p >/tmp/session
declare -f >>/tmp/session
sleep 5"""
"""Keeps variables and functions from block to block, and pauses as a reader would."""

CONSENT: Final = "yes | bash -e /tmp/block >/tmp/output 2>&1; status=$?; cat /tmp/output; exit $status"
"""Runs a block, and answers its questions with yes. The output goes to a file, because a tunnel that the
block leaves running would keep a pipe open."""


class Block(NamedTuple):
    """A shell block of a page, and the output that the page shows right after it."""

    page: str
    script: str
    shown: str

    def find(self, starts: Iterable[str]) -> list[str]:
        """Return the texts in *starts* that this block begins with."""
        return [start for start in starts if self.script.startswith(start)]


Plan = list[tuple[str, Block]]
"""A list of blocks in the order in which they run, each with its host."""


def run(selected: frozenset[str] = frozenset()) -> bool:
    """Run the blocks of all pages, print the result, and return whether each does what its page shows.

    Args:
        selected: The names of pages, such as "tuning". If given, run only the blocks of these pages, and
            before them those of install.md, which install the service; record no result. A block can fail
            because it needs the effect of a page that was left out.
    """
    plans = _select(_plan(), {f"{page}.md" for page in selected}) if selected else _plan()
    with Network("open-messaging-pages", "10.83.50") as network:
        differing = [difference for plan in plans for difference in _follow(network, plan)]
    blocks = [block for plan in plans for _, block in plan]
    compared = sum(bool(block.shown) for block in blocks)
    numbers = {"blocks": len(blocks), "compared": compared, "differing": len(differing)}
    return conclude("docs-run", numbers, passed=not differing, is_whole=not selected)


def _select(plans: list[Plan], pages: set[str]) -> list[Plan]:
    """Return the plans that have a block of one of *pages*, without the blocks of other pages.

    Raises:
        MachineError: One of *pages* has no block that runs.
    """
    if missing := pages - {block.page for plan in plans for _, block in plan}:
        raise MachineError(f"no block of {', '.join(missing)} runs")
    return [
        [(host, block) for host, block in plan if block.page in {*pages, INSTALL.name}]
        for plan in plans
        if any(block.page in pages for _, block in plan)
    ]


def _plan() -> list[Plan]:
    """Return three plans: README and tutorial on one machine, other pages on a VM, and blocks for a cluster.

    Raises:
        MachineError: A rule of page_states.py names a block that does not exist.
    """
    [demonstration] = DEMONSTRATION.findall(README.read_text("utf-8"))
    tutorial = [Block(README.name, "make demo", demonstration), *read_blocks(TUTORIAL)]
    pages = sorted(DOCS.glob("*.md"), key=lambda page: (*(page.stem != name for name in FIRST), page.stem))
    blocks = [block for page in (README, *pages) if page != TUTORIAL for block in read_blocks(page)]
    for start in (*NOT_RUN, *HOSTS, *STATES):
        if not any(block.find([start]) for block in blocks):
            raise MachineError(f"no page has a block that begins with {start}")
    one_vm = [block for block in blocks if not block.find((*NOT_RUN, *HOSTS))]
    several = [
        (host, block)
        for start, hosts in HOSTS.items()
        for block in blocks
        if block.find([start])
        for host in hosts
    ]
    return [[("om-1", block) for block in tutorial], [("om-1", block) for block in one_vm], several]


def read_blocks(page: Path) -> list[Block]:
    """Return the shell blocks of a page, in order."""
    found = BLOCK.findall(page.read_text("utf-8"))
    return [Block(page.name, dedent(script), dedent(shown)) for _, script, shown in found]


def _follow(network: Network, plan: Plan) -> Iterator[str]:
    """Run the blocks of a plan on new machines, and yield each difference from what the pages show."""
    with ExitStack() as stack:
        machines = {}
        for host in sorted({host for host, _ in plan}):
            machines[host] = stack.enter_context(Machine(network, host, int(host[-1]) + 10))
            machines[host].run(AS_READER)
        for host, block in plan:
            report(f"{host}: {block.page}: {block.script.splitlines()[0]}")
            for difference in _compare(machines[host], block):
                report(difference)
                yield difference


def _compare(machine: Machine, block: Block) -> Iterator[str]:
    """Run a block; yield its failure, if any, and each line that its page shows but its output lacks."""
    script = FAILING.sub(r"if \1; then false; fi", block.script)
    for text, value in VALUES.items():
        script = script.replace(text, value)
    script = "\n".join([*(STATES[start] for start in block.find(STATES)), script])
    try:
        output = _run(machine, script)
    except MachineError as error:
        output = str(error)
        yield f"failed: {output}"
    printed = {VARYING.sub("#", line).strip() for line in output.splitlines()} | {""}
    for line in block.shown.splitlines():
        if VARYING.sub("#", line).strip() not in printed:
            yield f"not printed: {line}"


def _run(machine: Machine, script: str) -> str:
    """Run a script in the machine's session, or in a new one if it occupies a terminal; return its output."""
    last = re.sub(r"^\w+=\S+ ", "", script.splitlines()[-1])
    for command, condition in FOREGROUND.items():
        if last.startswith(command):
            machine.run("cat >/tmp/block", text=script)
            machine.run("(setsid bash -e /tmp/block >>/tmp/terminal 2>&1 </dev/null &)")
            return machine.run(f"until {condition}; do sleep 1; done", timeout=900)
    machine.run("cat >/tmp/block", text=SESSION.format(script=script))
    return machine.run(CONSENT)
