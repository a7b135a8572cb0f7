"""Connect the product's code to a simulated world purely by replacing names in the product's modules."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import messaging.broker.publisher
import messaging.clock
import messaging.log
from tests.simulation.connection import Connection
from webhook_api import ingest
from webhook_api.backpressure import admission
from webhook_api.journal import directory, disk, journal, process_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.simulation.world import World


class Log:
    """Replaces the product's log, and adds the log lines to the story of a run."""

    def __init__(self, world: World) -> None:
        self._world = world

    def __getattr__(self, _level: str) -> Callable[..., None]:
        def log(event: str, **fields: object) -> None:
            process = self._world.files.process
            self._world.note("edge %d: %s %s", process.number if process else 0, event, fields)

        return log


@contextmanager
def simulated(world: World) -> Iterator[None]:
    """Make the product use the world's disk, clock, broker and random numbers during a `with` block."""
    log = Log(world)
    clock = SimpleNamespace(
        monotonic=lambda: world.now,
        time=lambda: world.wall_us() / 1e6,
        time_ns=lambda: world.wall_us() * 1000,
    )

    def make_token(size: int) -> str:
        return f"{world.random.getrandbits(8 * size):0{2 * size}x}"

    tokens = SimpleNamespace(token_hex=make_token)
    names = [
        *((module, "os", world.files) for module in (directory, disk, journal)),
        (process_directory, "os", world.files),
        (directory, "fcntl", world.files),
        (directory, "secrets", tokens),
        (ingest, "secrets", tokens),
        (messaging.log, "structlog", SimpleNamespace(get_logger=lambda: log)),
        (messaging.clock, "time", clock),
        (messaging.broker.publisher, "time", clock),
        (messaging.broker.publisher, "BrokerConnection", Connection),
        (messaging.broker.publisher, "parameters_of", lambda urls, **_: urls),
        (messaging.clock, "random", world.random),
        (admission, "random", world.random),
    ]
    with replaced(names):
        yield


@contextmanager
def replaced(names: Sequence[tuple[Any, str, Any]]) -> Iterator[None]:
    """Replace the values of names in modules during a `with` block."""
    before = [(module, name, getattr(module, name)) for module, name, _ in names]
    try:
        for module, name, value in names:
            setattr(module, name, value)
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)
