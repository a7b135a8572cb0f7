"""Name what a fault is made of, and what it finds when it strikes."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import random

    from tests.chaos.driver import Driver
    from tests.chaos.stand import Stand


@dataclass(frozen=True, slots=True)
class Scene:
    """The running service under load.

    Args:
        stand: Every part of it.
        driver: Sends events all the time.
        chance: Seeded; every random choice of a strike comes from it.
    """

    stand: Stand
    driver: Driver
    chance: random.Random

    def wait(self, least: float, most: float) -> None:
        """Let a random time pass, in seconds."""
        time.sleep(self.chance.uniform(least, most))


Strike: TypeAlias = Callable[[Scene], None]
"""Strikes once, checks what is promised meanwhile, and mends what it broke."""


def nothing(_stand: Stand) -> AbstractContextManager[None]:
    """Arrange nothing."""
    return nullcontext()


@dataclass(frozen=True, slots=True)
class Fault:
    """One line of the table.

    Args:
        number: As in docs/guarantees.md.
        title: What happens, in a few words.
        strikes: The forms it takes; each strikes in every round.
        rounds: How often each form strikes.
        rate: Events per second meanwhile.
        arrange: Prepares the stand before the load, and undoes it after.
        stands: The kinds of stand it strikes, of tests/chaos/lane.py.
    """

    number: int
    title: str
    strikes: tuple[Strike, ...]
    rounds: int = 3
    rate: float = 250.0
    arrange: Callable[[Stand], AbstractContextManager[None]] = nothing
    stands: tuple[str, ...] = ("postgresql",)
