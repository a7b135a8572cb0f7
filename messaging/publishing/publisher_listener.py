"""Name what a publisher tells of its connection."""

from __future__ import annotations

from typing import Protocol


class PublisherListener(Protocol):
    """Who keeps the events and must know whether they are on their way."""

    def on_broker_up(self) -> None:
        """Called when publishes reach the exchange; nothing earlier is on its way."""

    def on_broker_down(self) -> None:
        """Called when whatever has not been proven may be lost; `ready` is false."""

    def on_broker_blocked(self) -> None:
        """Called when the broker reads no more for now (an alarm) but the connection stands."""

    def on_broker_unblocked(self) -> None:
        """Called when the broker reads on where it stopped."""
