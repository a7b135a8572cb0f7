"""Change one step of a run: leave it out, repeat it, or swap it with the next step of the same process.

A run is a list of (process, step) pairs of all processes of a host, ordered by time.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

Run: TypeAlias = "list[tuple[str, dict[str, Any]]]"
LEFT_OUT: Final = "left out"
DOUBLED: Final = "doubled"
SWAPPED: Final = "swapped"


@dataclass(frozen=True)
class Mutation:
    """A changed run.

    Args:
        change: LEFT_OUT, DOUBLED or SWAPPED.
        step: The changed step.
        later: The later steps of the same process. If the change is SWAPPED, the first was also swapped.
        run: The changed run.
    """

    change: str
    step: Mapping[str, Any]
    later: Sequence[Mapping[str, Any]]
    run: Run

    @property
    def kinds(self) -> set[str]:
        """The kind of the changed step or, if two steps are swapped, the kinds of both."""
        return {self.step["step"], *([self.later[0]["step"]] if self.change == SWAPPED else [])}

    def __str__(self) -> str:
        following = [step["step"] for step in self.later[:5]]
        return f"{self.step['step']} is {self.change}, before {following}"


@dataclass(frozen=True)
class Permitted:
    """One row of a table that lists the changes after which the model still accepts a run.

    Args:
        change: LEFT_OUT, DOUBLED or SWAPPED.
        kinds: The kinds that the changed or swapped steps must include; if empty, any step matches.
        reason: Why the model permits the changed run.
        condition: Returns whether this reason applies to a mutation.
    """

    change: str
    kinds: frozenset[str]
    reason: str
    condition: Callable[[Mutation], object] = lambda _mutation: True

    def covers(self, mutation: Mutation) -> bool:
        """Return whether this row explains why a mutation is accepted."""
        return (
            self.change == mutation.change and self.kinds <= mutation.kinds and bool(self.condition(mutation))
        )


def merge(traces: Mapping[str, Sequence[dict[str, Any]]]) -> Run:
    """Merge the traces of a host's processes, given by name, into one run."""
    steps = [(name, step) for name, trace in traces.items() for step in trace]
    return sorted(steps, key=lambda one: one[1]["t"])


def without_time(step: Mapping[str, Any]) -> dict[str, Any]:
    """Return a step without its time, which is meaningless once the order has changed."""
    return {name: value for name, value in step.items() if name != "t"}


def mutate(run: Run) -> Iterator[Mutation]:
    """Yield every changed run, except swaps of two equal steps."""
    for number, (process, step) in enumerate(run):
        others = [count for count in range(number + 1, len(run)) if run[count][0] == process]
        later = [run[count][1] for count in others]
        yield Mutation(LEFT_OUT, step, later, [*run[:number], *run[number + 1 :]])
        yield Mutation(DOUBLED, step, later, [*run[: number + 1], *run[number:]])
        if others and without_time(later[0]) != without_time(step):
            swapped = list(run)
            swapped[number], swapped[others[0]] = run[others[0]], run[number]
            yield Mutation(SWAPPED, step, later, swapped)


def judge(
    runs: Sequence[Run], is_run: Callable[[Run], bool], table: Sequence[Permitted]
) -> tuple[str, list[Mutation], set[Permitted]]:
    """Change every step of *runs*, one at a time, and check each changed run with *is_run*.

    Returns:
        A line with the number of rejected changes of each kind; the changed runs that were accepted without
        a row of the table that explains them; and the rows that were needed.
    """
    made: Counter[str] = Counter()
    rejected: Counter[str] = Counter()
    unexplained, needed = [], set()
    for mutation in (mutation for run in runs for mutation in mutate(run)):
        made[mutation.change] += 1
        if not is_run(mutation.run):
            rejected[mutation.change] += 1
        elif rows := [row for row in table if row.covers(mutation)]:
            needed.update(rows)
        else:
            unexplained.append(mutation)
    line = ", ".join(f"{rejected[change]} of {made[change]} {change}" for change in made)
    return line, unexplained, needed
