"""Inject faults into the network between the edge and the broker."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.chaos.proxy import Weather

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.chaos.scene import Scene
    from tests.chaos.stand import Stand


@contextmanager
def through_the_proxy(stand: Stand) -> Iterator[None]:
    """Put the proxy between the edge and the broker for a `with` block."""
    stand.reconfigure_edge(OM_AMQP_URL=stand.edge_proxy.url(stand.broker.amqp_url))
    try:
        yield
    finally:
        stand.edge_proxy.weather = Weather.FAIR
        stand.reconfigure_edge(OM_AMQP_URL=stand.broker.amqp_url)


@contextmanager
def bytes_are_swallowed(scene: Scene) -> Iterator[None]:
    """Keep the connections open but pass on no bytes, sometimes for longer than the heartbeats allow."""
    with _bad_weather(scene, Weather.SWALLOW):
        yield


@contextmanager
def bytes_are_delayed(scene: Scene) -> Iterator[None]:
    """Delay every chunk of bytes by half a second in each direction."""
    with _bad_weather(scene, Weather.DELAY):
        yield


@contextmanager
def bytes_drip(scene: Scene) -> Iterator[None]:
    """Pass on one byte at a time, far more slowly than events arrive."""
    with _bad_weather(scene, Weather.DRIP):
        yield


@contextmanager
def connections_are_reset(scene: Scene) -> Iterator[None]:
    """Reset every connection, several times in a row."""
    _break(scene, scene.stand.edge_proxy.reset_all)
    yield


@contextmanager
def connections_are_cut(scene: Scene) -> Iterator[None]:
    """Close every connection in the middle of a frame, several times in a row."""
    _break(scene, scene.stand.edge_proxy.cut_all)
    yield


@contextmanager
def _bad_weather(scene: Scene, weather: Weather) -> Iterator[None]:
    proxy = scene.stand.edge_proxy
    before = proxy.struck[weather]
    proxy.weather = weather
    yield
    proxy.weather = Weather.FAIR
    struck = proxy.struck[weather] - before
    scene.prove(f"{struck} chunks met it: {weather.value}", has_struck=struck > 0)


def _break(scene: Scene, break_connections: Callable[[], int]) -> None:
    broken = 0
    for _ in range(3):
        broken += break_connections()
        scene.wait(0.2, 1.5)
    scene.prove(f"{broken} connections broke", has_struck=broken > 0)
