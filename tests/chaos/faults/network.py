"""Strike the network between the edge and the broker."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.chaos.faults.broker import expect_all_answered
from tests.chaos.proxy import Weather

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.driver import Watched
    from tests.chaos.scene import Scene
    from tests.chaos.stand import Stand

UNNOTICED_SECONDS = 0.25
"""Half of the delay that the network adds: a request that had waited for the broker would be above."""


@contextmanager
def through_the_proxy(stand: Stand) -> Iterator[None]:
    """Put the proxy between the edge and the broker."""
    stand.edge.reconfigure(OM_AMQP_URL=stand.edge_proxy.url(stand.broker.amqp_url))
    stand.wait_healthy()
    try:
        yield
    finally:
        stand.edge_proxy.weather = Weather.FAIR
        stand.edge.reconfigure(OM_AMQP_URL=stand.broker.amqp_url)
        stand.wait_healthy()


def bytes_are_swallowed(scene: Scene) -> None:
    """Leave the connections open and carry nothing, for less or more than the heartbeat's patience."""
    _bad_weather(scene, Weather.SWALLOW, 3.0, 22.0)


def bytes_are_delayed(scene: Scene) -> None:
    """Let every chunk take half a second longer, each way."""
    _bad_weather(scene, Weather.DELAY, 4.0, 8.0)


def bytes_drip(scene: Scene) -> None:
    """Let the bytes through one at a time, far slower than events come in."""
    _bad_weather(scene, Weather.DRIP, 4.0, 8.0)


def connections_are_reset(scene: Scene) -> None:
    """Reset every connection, some times in a row."""
    _break(scene, scene.stand.edge_proxy.reset_all)


def connections_are_cut(scene: Scene) -> None:
    """Close every connection in the middle of a frame, some times in a row."""
    _break(scene, scene.stand.edge_proxy.cut_all)


def _bad_weather(scene: Scene, weather: Weather, least: float, most: float) -> None:
    proxy = scene.stand.edge_proxy
    with scene.driver.watch() as seen:
        proxy.weather = weather
        scene.wait(least, most)
        proxy.weather = Weather.FAIR
        scene.stand.wait_healthy(60)
    _expect_unnoticed(seen)


def _break(scene: Scene, break_connections: object) -> None:
    assert callable(break_connections)
    with scene.driver.watch() as seen:
        for _ in range(3):
            break_connections()
            scene.wait(0.2, 1.5)
        scene.stand.wait_healthy(60)
    _expect_unnoticed(seen)


def _expect_unnoticed(seen: Watched) -> None:
    expect_all_answered(seen)
    p99 = seen.percentile(0.99)
    assert p99 < UNNOTICED_SECONDS, f"the sender felt the network behind the edge: p99 {p99:.3f} s"
