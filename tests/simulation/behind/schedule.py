"""Derive events and strikes from a seed, run them, and check the promises at the end."""

from __future__ import annotations

import random
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from tests.simulation.behind.outside import MODES
from tests.simulation.behind.product import (
    SLOTS,
    SUBSCRIBED,
    database,
    simulated,
    start_deliver,
    start_settle,
    take_in,
)
from tests.simulation.behind.promises import Behind
from tests.simulation.behind.world import Process, World
from tests.simulation.schedule import Action, Outcome, Schedule
from workers.deliver import deliverer
from workers.parsing import CONVERSATION_MESSAGE, CONVERSATION_UPDATED, QUEUED, ROUTED, moment_of

if TYPE_CHECKING:
    from collections.abc import Callable

ACTED_SECONDS: Final = 12.0
HEAL_SECONDS: Final = 3600.0
STEP_SECONDS: Final = 5.0
BAD_MODES: Final = ("400", "400", "404")
STRIKES: Final = {
    "answer": 6, "kill": 5, "stop": 2, "freeze": 2, "database": 2, "platform": 2, "exchange": 1,
}  # fmt: skip


def choose(seed: int) -> Schedule:
    """Return the schedule for a seed: a setting for the conversations, and events and strikes as actions."""
    chance = random.Random(seed)
    is_calm = chance.random() < 0.2
    conversations = [f"c-{number}" for number in range(chance.choice((1, 1, 2, 3, 4, 6)))]
    bad = {
        name: {one: chance.choice(BAD_MODES) for one in conversations if chance.random() < 0.2}
        for name in SUBSCRIBED
    }
    setting = {
        "is_calm": is_calm,
        "bad": bad,
        "has_platform": chance.random() < 0.7,
        "states": {each: chance.choice(((QUEUED,), (QUEUED, ROUTED))) for each in conversations},
        "lags": {each: chance.choice((0.0, 1.0, 3.0)) * chance.random() for each in conversations},
    }
    actions = []
    for _ in range(chance.randint(3, 25)):
        details = chance.choice(conversations), chance.random() < 0.3, round(5 * chance.random() ** 3, 3)
        actions.append(Action(round(8 * chance.random(), 3), "event", details))
    for _ in range(0 if is_calm else chance.randint(1, 8)):
        name = chance.choice([name for name, weight in STRIKES.items() for _ in range(weight)])
        actions.append(Action(ACTED_SECONDS * chance.random(), name, _choose_details(chance, name)))
    return Schedule(seed, setting, tuple(sorted(actions, key=lambda action: action.at)))


def _choose_details(chance: random.Random, name: str) -> tuple[Any, ...]:
    seconds = round(chance.choice((0.3, 2.0, 6.0)) * chance.random(), 3)
    return {
        "answer": (chance.choice(tuple(SUBSCRIBED)), chance.choice(MODES), seconds),
        "kill": (chance.randrange(4), chance.choice((0, 1, 5, 20))),
        "stop": (chance.randrange(4),),
        "freeze": (chance.randrange(4), 5 * seconds),
        "database": (seconds / 2,),
        "platform": (chance.choice(("busy", "away", "forbidden")), seconds),
        "exchange": (seconds,),
    }[name]


def run(schedule: Schedule, tell: Callable[[str], None] | None = None) -> Outcome:
    """Run a schedule, end all strikes, and check that every event takes effect and is delivered."""
    world, setting = World(schedule.seed, tell), schedule.setting
    behind = Behind(world, setting["is_calm"], setting["bad"], setting["has_platform"])
    database().reset(behind)
    with simulated(behind):
        try:
            actor = Actor(behind, setting)
            actor.start()
            began = world.now
            for action in schedule.actions:
                world.run(began + action.at)
                world.note("%s", action)
                getattr(actor, action.name)(*action.arguments)
            world.run(began + (3 if behind.is_calm else 1) * ACTED_SECONDS)
            world.note("all strikes end")
            world.idles = 10
            deliverer.IDLE_SECONDS *= world.idles
            deadline = world.now + HEAL_SECONDS
            while not behind.is_settled() and not world.broken:
                world.run(world.now + STEP_SECONDS)
                if world.now > deadline:
                    world.fail("something never ends")
            if not world.broken:
                behind.judge()
        finally:
            world.end()
    return Outcome(world.broken, behind.events, world.lost, world.repeated)


class Actor:
    """Carries out the actions of a schedule."""

    def __init__(self, behind: Behind, setting: dict[str, Any]) -> None:
        self._behind, self._world = behind, behind.world
        self._states: dict[str, tuple[str, ...]] = setting["states"]
        self._told: dict[str, int] = {}
        if behind.platform is not None:
            behind.platform.lags = setting["lags"]
            behind.platform.states = {each: [(0.0, states[0])] for each, states in self._states.items()}

    def start(self) -> None:
        # Start intake first. No strike affects it.
        self._world.start("intake", lambda _process: None)
        self._intake = self._world.living[0]
        for role, engine in zip(SLOTS[:-1], database().engines, strict=False):
            start = start_deliver if role == "deliver" else start_settle
            self._world.start(role, partial(start, self._behind, engine))

    def event(self, conversation: str, is_update: bool, age: float) -> None:  # noqa: FBT001  # an action's
        world, behind = self._world, self._behind
        behind.events += 1
        # Add the event's number: two updates with the same status and time would count as one event.
        moment = moment_of(world.now_us() - round(age * 1e6) + behind.events)
        body: dict[str, Any] = {
            "conversationId": conversation,
            "eventType": CONVERSATION_UPDATED if is_update else CONVERSATION_MESSAGE,
            "timestamp": moment.isoformat(),
        }
        if is_update:
            told = self._told[conversation] = self._told.get(conversation, -1) + 1
            states = self._states[conversation]
            # If the conversation has only one state, the platform never confirms a later update.
            status = states[told] if told < len(states) else ROUTED if len(states) == 1 else states[-1]
            if behind.platform is not None and 0 < told < len(states):
                behind.platform.states[conversation].append((world.now, status))
            body["routing"] = {"status": status, "queueId": "queue-1"}
        else:
            body["message"] = {"id": f"m-{behind.events}", "text": "hello", "direction": "inbound"}
        world.spawn(self._intake, partial(take_in, behind, database().engines[-1], body, behind.events))

    def answer(self, name: str, mode: str, seconds: float) -> None:
        destination = self._behind.destinations[name]
        destination.mode = mode
        self._world.schedule(seconds, setattr, destination, "mode", "")

    def kill(self, which: int, statements: int) -> None:
        process = self._choose(which)
        if statements or not process.tasks:
            process.dies_at_statement = process.statements + statements
        else:
            self._world.kill(process)

    def stop(self, which: int) -> None:
        self._choose(which).is_stopping = True

    def freeze(self, which: int, seconds: float) -> None:
        process = self._choose(which)
        process.frozen_until = self._world.disturbed_at = self._world.now + seconds

    def database(self, seconds: float) -> None:
        self._world.database_away_until = self._world.now + seconds

    def platform(self, mode: str, seconds: float) -> None:
        if self._behind.platform is not None:
            self._behind.platform.mode = mode
            self._world.schedule(seconds, setattr, self._behind.platform, "mode", "")

    def exchange(self, seconds: float) -> None:
        self._behind.exchange.is_away = True
        self._world.schedule(seconds, setattr, self._behind.exchange, "is_away", False)

    def _choose(self, which: int) -> Any:
        """Return one of the live workers or, if none is alive, a process that does nothing."""
        _, *workers = self._world.living
        return workers[which % len(workers)] if workers else Process("none", 0, lambda _process: None)
