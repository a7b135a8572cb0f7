"""Check one case with Spin, and describe its shortest counterexample as a story."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from deploy.local.brokers import ensure_package
from tests.model.cases import BOUNDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.model.cases import Case

FOLDER: Final = Path(__file__).parent
HEADER: Final = Path("/usr/include/stdio.h")
EVENTS: Final = {1: "A", 2: "B", 4: "C", 8: "the replay of A"}


class ModelError(Exception):
    """Spin could not check a case. Correct the model or its bounds."""


@dataclass(frozen=True)
class Result:
    """The result of checking one case with Spin.

    Args:
        case: The checked case.
        states: The number of the model's states, or of those visited before a counterexample was found.
        story: The steps of the shortest counterexample, in words; empty if there is none.
    """

    case: Case
    states: int
    story: tuple[str, ...]


def is_spin_installed() -> bool:
    """Try to install Spin and a C compiler if they are missing; return whether they are installed."""
    return (
        ensure_package(lambda: shutil.which("spin"), "spin")
        and ensure_package(lambda: shutil.which("gcc"), "gcc")
        and ensure_package(lambda: HEADER if HEADER.exists() else None, "libc6-dev")
    )


def check(case: Case, *, is_expected_to_fail: bool) -> Result:
    """Try all orders of a case's steps with Spin, and return the result.

    Args:
        case: The case to check.
        is_expected_to_fail: Whether to expect a counterexample. If so, search breadth-first for the shortest.

    Raises:
        ModelError: The search was not exhaustive, or a command failed.
    """
    macros = {**BOUNDS[case.model], **case.macros}
    defines = "".join(f"#define {name} {value}\n" for name, value in macros.items())
    with tempfile.TemporaryDirectory() as directory:
        model = Path(directory, "model.pml")
        model.write_text(defines + (FOLDER / f"{case.model}.pml").read_text())

        def run(*command: str) -> str:
            done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
            if done.returncode:
                raise ModelError(f"{case.name}: {' '.join(command)}: {done.stdout}{done.stderr}")
            return done.stdout

        run("spin", "-a", model.name)
        order = ["-DBFS"] if is_expected_to_fail else []
        run("gcc", "-O2", "-w", "-DSAFETY", "-DNOREDUCE", *order, "-o", "pan", "pan.c")
        report = run("./pan", "-E", "-m10000", "-w24")
        states = re.search(r"([\d.e+]+) states, stored", report)
        if states is None or "max search depth too small" in report or "out of memory" in report:
            raise ModelError(f"{case.name}: {report}")
        trail = run("spin", "-t", "-T", model.name) if "errors: 0" not in report else ""
    return Result(case, int(float(states[1])), tell(trail))


def tell(trail: str) -> tuple[str, ...]:
    """Return the steps that Spin printed, in words, followed by their outcome."""
    steps = re.findall(r"^\s*> (.*)$", trail, re.MULTILINE)
    if not trail:
        return ()
    return (*[_name_events(step) for step in steps], _end_of(trail))


def _name_events(step: str) -> str:
    """Replace each bit mask in braces in a step with the names of its events."""
    return re.sub(r"\{(\d+)\}", lambda mask: _names_of(int(mask[1]), EVENTS), step)


def _names_of(mask: int, events: Mapping[int, str]) -> str:
    return " and ".join(name for bit, name in events.items() if mask & bit)


def _end_of(trail: str) -> str:
    failed = re.search(r"text of failed assertion: assert\((.*)\)", trail)
    if failed is None:
        raise ModelError(f"the counterexample could not be replayed: {trail}")
    if "answered" in failed[1] or "promised" in failed[1]:
        return "An event that was answered 200 is lost."
    if "effects" in failed[1]:
        return "An event takes effect twice."
    return (
        "A segment is unlinked before its proof." if "kept" in failed[1] else "A dead letter has no reason."
    )
