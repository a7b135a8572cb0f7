"""Derive the strikes on a host from a seed, run them, and shorten a schedule that breaks a promise.

A schedule consists of a setting and a list of actions. The seed also determines all other details of a run:
when each process runs, how long an answer takes, and at which system calls other processes interrupt it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from tests.simulation import strikes
from tests.simulation.actions import ACTIONS
from tests.simulation.seams import simulated
from tests.simulation.world import BrokenPromiseError, Setting, World

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ACTED_SECONDS: Final = 6.0
HEAL_SECONDS: Final = 200.0
STEP_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Action:
    """An event or a strike, with its time in seconds from the start of the run."""

    at: float
    name: str
    arguments: tuple[Any, ...]

    def __str__(self) -> str:
        return f"{self.at:.3f} {self.name} {' '.join(map(str, self.arguments))}"


@dataclass(frozen=True, slots=True)
class Schedule:
    """The setting of a run, and its events and strikes, all derived from a seed."""

    seed: int
    setting: Any
    actions: tuple[Action, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a run: the first broken promise, and how many events were answered, lost and repeated."""

    broken: str | None
    answered: int
    lost: int
    repeated: int


def choose(seed: int) -> Schedule:
    """Return the schedule that a seed determines."""
    chance = random.Random(seed)
    setting = Setting(
        nodes=chance.choice((1, 1, 3)),
        confirms=chance.random() < 0.2,
        fsync=chance.random() < 0.4,
        max_bytes=chance.choice((1 << 24, 1 << 24, 1 << 24, 6000)),
        high=chance.choice((1000, 1000, 60)),
        low=30,
    )
    names = [name for name, action in ACTIONS.items() for _ in range(action.weight(setting))]
    actions = []
    for _ in range(chance.randint(4, 16)):
        name = chance.choice(names)
        actions.append(Action(chance.random() * ACTED_SECONDS, name, ACTIONS[name].choose(chance)))
    return Schedule(seed, setting, tuple(sorted(actions, key=lambda action: action.at)))


def run(
    schedule: Schedule,
    tell: Callable[[str], None] | None = None,
    watch: Callable[[World], None] = lambda _world: None,
) -> Outcome:
    """Run a schedule, end all strikes, and check that every event arrives. *watch* receives the new world."""
    world = World(schedule.seed, schedule.setting, tell)
    watch(world)
    with simulated(world):
        try:
            _act(world, schedule.actions)
            _heal(world)
        except BrokenPromiseError:
            pass
    repeated = sum(len(copies) - 1 for copies in world.broker.copies.values())
    lost = len(world.promises.missing() - world.promises.journalled())
    return Outcome(world.promises.broken, len(world.promises.answered), lost, repeated)


def _act(world: World, actions: Sequence[Action]) -> None:
    for _ in range(2):
        world.start_process()
    world.schedule(0.1, world.work)
    world.run(world.now + 0.2)
    began = world.now
    for action in actions:
        world.run(began + action.at)
        world.note("%s", action)
        ACTIONS[action.name].act(world, *action.arguments)
    world.run(began + ACTED_SECONDS)


def _heal(world: World) -> None:
    world.note("all faults end")
    strikes.end_all(world)
    deadline = world.now + HEAL_SECONDS
    # First let the processes handle the requests that were already sent.
    world.run(world.now + STEP_SECONDS)
    while not _is_settled(world):
        if world.now > deadline:
            missing = b" ".join(sorted(world.promises.missing())[:5]).decode()
            world.promises.fail(
                f"stuck: missing {missing}, {world.promises.held_bytes()} bytes are journalled"
            )
            break
        world.run(world.now + STEP_SECONDS)
    world.run(world.now)
    for process in world.living:
        world.request(process)
    refused = world.promises.refused
    world.run(world.now + 0.1)
    if world.promises.refused > refused:
        world.promises.fail("a request is refused though everything has healed")
        world.run(world.now)


def _is_settled(world: World) -> bool:
    return (
        not world.promises.broken
        and len(world.living) == 2
        and all(process.is_connected and not process.shedder.is_shedding for process in world.living)
        and all(process.frozen_until <= world.now for process in world.living)
        and world.now > world.disk_is_bad_until
        # Events that were written but then refused also take up journal space until they are proven.
        and not world.promises.is_any_journalled()
        and not world.promises.missing()
    )


Run: TypeAlias = "Callable[[Schedule, Callable[[str], None] | None], Outcome]"


def shrink(schedule: Schedule, run: Run = run) -> Schedule:
    """Remove actions from a schedule that breaks a promise, for as long as it still breaks one."""
    size = len(schedule.actions) // 2
    while size:
        start = 0
        while start < len(schedule.actions):
            rest = schedule.actions[:start] + schedule.actions[start + size :]
            shorter = Schedule(schedule.seed, schedule.setting, rest)
            if run(shorter, None).broken:
                schedule = shorter
            else:
                start += size
        size //= 2
    return schedule
