"""Insert known defects, including those of `make chaos-sabotage`, into the product's code for one run."""

from __future__ import annotations

import importlib
import inspect
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from tests.chaos.defects import before_the_queue

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType, ModuleType

SIMULATED: Final = (
    "webhook_api/journal/",
    "webhook_api/relay/",
    "webhook_api/backpressure/",
    "messaging/clock.py",
)
"""The modules that the simulation runs. It does not run the modules that start gunicorn, or those that handle
HTTP, the topology or the list of addresses."""


@dataclass(frozen=True, slots=True)
class Defect:
    """A defect in the product: statements that are executed at the end of a module."""

    title: str
    path: str
    code: str


OWN: Final = (
    Defect("no grace period", "webhook_api/relay/proof.py", "GRACE_SECONDS = 0.0\n"),
    Defect(
        "a majority is taken for granted",
        "webhook_api/relay/majority.py",
        "MajorityWatch.is_present = lambda *_: True\nMajorityWatch.seen_until = lambda _self, now: now\n",
    ),
    Defect(
        "events are published after a report of a lost majority",
        "webhook_api/relay/link.py",
        """
_demand = BrokerLink._demand_majority
def _demand_later(self):
    if self._publisher.last_tag > 0:
        _demand(self)
def _on_report(self, report):
    self._watch.on_report(report)
    self._demand_majority()
BrokerLink._demand_majority = _demand_later
BrokerLink.on_report = _on_report
""",
    ),
    Defect(
        "zeros are read as an empty event",
        "webhook_api/journal/segments.py",
        """
_read = _read_entry
def _read_entry(data, offset):
    if data[offset : offset + RECORD_BYTES] == MAGIC + bytes(RECORD_BYTES - len(MAGIC)):
        return Entry(b"", b""), offset + RECORD_BYTES
    return _read(data, offset)
""",
    ),
    Defect(
        "the names of directories are not flushed",
        "webhook_api/journal/directory.py",
        "sync_directory = lambda _directory: None\n",
    ),
    Defect(
        "a failed flush is answered 200",
        "webhook_api/journal/journal.py",
        "Journal.sync = lambda _self: True\n",
    ),
    Defect(
        "a segment that is cut short is left as it is",
        "webhook_api/journal/journal.py",
        """
def _write_some(self, records):
    try:
        return os.write(self._descriptor, records) > 0
    except OSError:
        return False
Journal._write = _write_some
""",
    ),
)


def known_defects() -> tuple[Defect, ...]:
    """Return the defects that the simulation can show. Defects with the same code are listed only once."""
    from_chaos = {
        (defect.module, defect.code): Defect(defect.name, defect.module, defect.code)
        for defect in reversed(before_the_queue.DEFECTS)
        if defect.module.startswith(SIMULATED)
    }
    return (*reversed(from_chaos.values()), *OWN)


@contextmanager
def put_in(defect: Defect) -> Iterator[None]:
    """Insert a defect for a `with` block, and restore the changed module and its classes afterwards."""
    module = importlib.import_module(defect.path.removesuffix(".py").replace("/", "."))
    owners = [module, *_classes(module)]
    before = [dict(vars(owner)) for owner in owners]
    exec(_compile(defect), vars(module))  # noqa: S102  # the defects above
    try:
        yield
    finally:
        for owner, names in zip(owners, before, strict=True):
            _restore(owner, names)


def _classes(module: ModuleType) -> list[type]:
    """Return the classes that a module defines or imports: a defect can also change those."""
    return [value for value in vars(module).values() if inspect.isclass(value) and "." in value.__module__]


def _restore(owner: Any, names: dict[str, Any]) -> None:
    for name in set(vars(owner)) - set(names):
        delattr(owner, name)
    for name, value in names.items():
        if vars(owner)[name] is not value:
            setattr(owner, name, value)


@cache
def _compile(defect: Defect) -> CodeType:
    return compile(defect.code, defect.title, "exec")
