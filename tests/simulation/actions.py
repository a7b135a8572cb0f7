"""List the kinds of strikes in a schedule, how often each occurs, and how its arguments are chosen."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.simulation import strikes

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from tests.simulation.world import Setting

ERRORS = (
    ("write", errno.EIO),
    ("fdatasync", errno.EIO),
    ("open", errno.EMFILE),
    ("open", errno.EIO),
    ("read", errno.EIO),
    ("rename", errno.EACCES),
    ("unlink", errno.EROFS),
    ("ftruncate", errno.EIO),
)
BIG = 700
"""The size of a big event in bytes: above the broker's size limit, if the broker has one."""


@dataclass(frozen=True, slots=True)
class Strike:
    """One kind of strike.

    Args:
        act: Carries out the strike; it is called with the chosen arguments.
        choose: Chooses the arguments of `act`.
        weight: Returns how often this kind is chosen, relative to the other kinds.
    """

    act: Callable[..., None]
    choose: Callable[[random.Random], tuple[Any, ...]]
    weight: Callable[[Setting], int]


def _always(weight: int) -> Callable[[Setting], int]:
    return lambda _setting: weight


def _seconds(chance: random.Random, longest: float = 4.0) -> float:
    return round(chance.choice((0.1, 0.5, 1.0)) * longest * chance.random(), 4)


def _which(chance: random.Random) -> int:
    return chance.randrange(1000)


ACTIONS = {
    "requests": Strike(
        strikes.requests,
        lambda chance: (
            _which(chance),
            chance.choice((1, 1, 2, 5)),
            chance.choice((1, 1, 1, BIG)),
        ),
        _always(40),
    ),
    "overload": Strike(
        strikes.overload,
        lambda chance: (_which(chance), 5.5, chance.random() < 0.5),
        lambda setting: 4 if setting.high < 100 else 0,
    ),
    "cut": Strike(
        strikes.cut,
        lambda chance: (_which(chance), round(chance.choice((0.0, 0.5, 12.0)) * chance.random(), 4)),
        _always(5),
    ),
    "crash": Strike(strikes.crash, lambda chance: (_seconds(chance),), _always(4)),
    "block": Strike(strikes.block, lambda chance: (_seconds(chance, 8.0),), _always(3)),
    "delay": Strike(
        strikes.delay, lambda chance: (chance.choice((0.1, 0.5, 2.0)), _seconds(chance)), _always(3)
    ),
    "unbind": Strike(strikes.lack, lambda chance: ("is_bound", _seconds(chance)), _always(2)),
    "delete the alternate": Strike(
        strikes.lack, lambda chance: ("has_unrouted", _seconds(chance)), _always(2)
    ),
    "delete the exchange": Strike(
        strikes.lack, lambda chance: ("has_exchange", _seconds(chance)), _always(1)
    ),
    "refuse": Strike(
        strikes.refuse, lambda chance: (_seconds(chance),), lambda setting: 3 if setting.confirms else 0
    ),
    "limit": Strike(strikes.limit, lambda _chance: (), _always(2)),
    "lose the majority": Strike(
        strikes.lose_majority,
        lambda chance: (_seconds(chance, 6.0), chance.random() < 0.5, chance.choice((0, 1))),
        lambda setting: 8 if setting.nodes > 1 else 0,
    ),
    "lose the majority anew": Strike(
        strikes.lose_majority_anew,
        lambda chance: (round(chance.choice((1.0, 2.0)) * chance.random(), 4),),
        lambda setting: 4 if setting.nodes > 1 and not setting.confirms else 0,
    ),
    "kill": Strike(
        strikes.kill, lambda chance: (_which(chance), chance.choice((0, 1, 3, 10, 40))), _always(5)
    ),
    "stop": Strike(strikes.stop, lambda chance: (_which(chance),), _always(2)),
    "freeze": Strike(strikes.freeze, lambda chance: (_which(chance), _seconds(chance, 15.0)), _always(2)),
    "fail": Strike(strikes.fail_calls, lambda chance: (*chance.choice(ERRORS), _seconds(chance)), _always(5)),
    "fill": Strike(
        strikes.fill, lambda chance: (chance.choice((0, 100, 5000)), _seconds(chance)), _always(3)
    ),
    "cut short": Strike(strikes.cut_short, lambda _chance: (), _always(2)),
    "step the clock": Strike(
        strikes.step_clock, lambda chance: (chance.choice((-3600.0, -30.0, 3600.0)),), _always(1)
    ),
    "stranger": Strike(
        strikes.put_stranger, lambda chance: (chance.choice(("file", "link", "directory")),), _always(1)
    ),
    "cut the power": Strike(
        strikes.cut_power,
        lambda chance: (_which(chance), chance.choice((0, 2, 2))),
        lambda setting: 5 if setting.fsync else 0,
    ),
    "slow workers": Strike(
        strikes.change_workers, lambda chance: (chance.choice((0, 2, 10)), _seconds(chance, 12.0)), _always(2)
    ),
    "no polls": Strike(strikes.turn_off, lambda chance: ("is_polling", _seconds(chance, 8.0)), _always(1)),
    "false polls": Strike(
        strikes.turn_off, lambda chance: ("is_telling_truth", _seconds(chance, 10.0)), _always(2)
    ),
}
