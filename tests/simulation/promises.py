"""Check the edge's promises while a world runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulation.broker import NAME
from tests.simulation.nodes import Directory

if TYPE_CHECKING:
    from tests.simulation.nodes import File
    from tests.simulation.paths import SimulatedPath
    from tests.simulation.process import EdgeProcess
    from tests.simulation.world import World

AMPLE_BYTES = 1 << 24
"""A journal size, in bytes, that no schedule reaches."""

OVERLOAD_SECONDS = 4.0
"""How many seconds the edge has to find out from a probe and a poll that the queue is too deep."""


class Promises:
    """Checks that events that get a 200 are journalled, queued or set aside, and that refusals are justified.

    `answered` contains the names of all events that got a 200. `broken` is the first broken promise, if any.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.answered: set[bytes] = set()
        self.refused = 0
        self.broken: str | None = None

    def fail(self, text: str) -> None:
        """Record a broken promise, unless one is already recorded."""
        self._world.note("BROKEN: %s", text)
        self.broken = self.broken or text

    def on_response(self, process: EdgeProcess, body: bytes, is_durable: bool) -> None:  # noqa: FBT001  # a callback
        """Check a response: only a journalled event may get a 200."""
        name = _name_of(body)
        self._world.note("edge %d answers %s %d", process.number, name.decode(), 200 if is_durable else 503)
        if not is_durable:
            self.on_refused(process, 503, is_full=True)
            return
        self.answered.add(name)
        if name not in self._world.broker.kept and not self._is_journalled(name):
            self.fail(f"{name.decode()} is answered 200 and in no journal")
        limit = self._world.setting.max_bytes
        # A process checks the size of the other processes' journals only every few seconds.
        if limit < AMPLE_BYTES and self.held_bytes() > 1.5 * limit:
            self.fail("the journals hold more than their limit")
        self._check_pressure(process)

    def _check_pressure(self, process: EdgeProcess) -> None:
        """Check that a request may get a 200 at the queue's current depth.

        A process that has just started or been resumed has no report of the depth yet. Until it gets one, it
        can refuse senders only because of the journal's limit.
        """
        world = self._world
        runs_since = max(process.began, process.frozen_until)
        since = None if world.deep_since is None else max(world.deep_since, runs_since)
        if since is not None and world.now - since > OVERLOAD_SECONDS and process.is_connected:
            self.fail("requests are answered 200 while the queue is too deep")

    def on_refused(self, process: EdgeProcess, status: int, *, is_full: bool) -> None:
        """Check a refusal. 503 is permitted only while the disk is bad, or if the journal has a low limit."""
        self.refused += 1
        self._world.note("edge %d answers %d", process.number, status)
        if (
            is_full
            and self._world.setting.max_bytes >= AMPLE_BYTES
            and self._world.now > self._world.disk_is_bad_until
        ):
            self.fail("a request is answered 503 though the journal has room")

    def on_unlink(self, path: SimulatedPath, file: File) -> None:
        if not path.name.endswith(".segment"):
            return
        names = set(NAME.findall(file.data)) & self.answered - self._world.broker.kept
        for name in sorted(names - self.set_aside()) if names else ():
            self.fail(f"{name.decode()} is unlinked with {path} before its proof")

    def _is_journalled(self, name: bytes) -> bool:
        """Whether an event is journalled. With fsync, only events that survive a power cut count."""
        if self._world.setting.fsync:
            files = self._files("journal", durably=True)
            return any(file.data.find(name, 0, file.flushed) >= 0 for file in files)
        return any(name in file.data for file in self._files("journal"))

    def is_any_journalled(self) -> bool:
        """Whether any journal contains an event."""
        return any(NAME.search(file.data) for file in self._files("journal"))

    def journalled(self) -> set[bytes]:
        """Return the names of all journalled events."""
        return {name for file in self._files("journal") for name in NAME.findall(file.data)}

    def set_aside(self) -> set[bytes]:
        """Return the names of the events that the edge has set aside because they are too large."""
        return {name for file in self._files("oversized") for name in NAME.findall(file.data)}

    def held_bytes(self) -> int:
        """Return the number of bytes in all journals."""
        return sum(len(file.data) for file in self._files("journal"))

    def _files(self, name: str, *, durably: bool = False) -> list[File]:
        """Return the files with events in a directory or, if *durably*, those that survive a power cut."""
        top = self._world.files.find(("state", name))
        directories = [top] if top else []
        files = []
        for directory in directories:
            for entry_name, entry in (directory.durable if durably else directory.entries).items():
                if type(entry) is Directory:
                    directories.append(entry)
                elif entry_name.endswith((".segment", ".body")):
                    files.append(entry)
        return files

    def missing(self) -> set[bytes]:
        """Return the names of answered events that are neither in the queue nor set aside."""
        return self.answered - self._world.broker.kept - self.set_aside()


def _name_of(body: bytes) -> bytes:
    return body[: body.index(b">") + 1]
