"""Check that the recorded steps of intake workers follow the protocol in effect.pml.

A trace may end anywhere, since a process may be killed anywhere. worker_recording.py writes it. A delivery is
its tag and a digest of its message id. The steps and their fields:

* `submit` *deliveries* to be processed: new ones of the connection, or one whose delay is over;
* `claim` the *keys* that are new for *deliveries*, `record` some *deliveries* as dead letters, then `commit`
  that of the same *deliveries*, or `roll_back`: one transaction;
* `put_off` *deliveries* whose handler failed;
* `reject` a *tag*, `acknowledge` a *tag*, with *multiple* all lower ones too: the consumer means that many
  *deliveries*;
* `lose` the connection, so that the broker delivers again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, TypeAlias

from tests.model.trace import demand

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Name: TypeAlias = "tuple[int, str]"


class Held(Enum):
    """The state of a delivery that is neither acknowledged nor rejected."""

    SUBMITTED = auto()
    PUT_OFF = auto()
    COMMITTED = auto()
    REFUSED = auto()
    """The reason is committed."""


@dataclass
class _Transaction:
    deliveries: list[Name]
    keys: set[int]
    recorded: set[Name] = field(default_factory=set)


@dataclass
class Worker:
    """The permitted next steps of a worker.

    Args:
        effects: Keys of the events that took effect, of all workers on one database.
    """

    effects: set[int]
    _held: dict[Name, Held] = field(default_factory=dict)
    _highest: int = 0
    _lost: set[Name] = field(default_factory=set)
    """Deliveries of lost connections: the batch in progress may still be committed."""
    _transaction: _Transaction | None = None

    def take(self, step: Mapping[str, Any]) -> None:
        """Accept one step.

        Raises:
            TraceError: The protocol does not allow it there.
        """
        fields = {name: value for name, value in step.items() if name != "step"}
        if "deliveries" in fields and step["step"] != "acknowledge":
            fields["deliveries"] = [(tag, message) for tag, message in fields["deliveries"]]
        getattr(self, f"_{step['step']}")(**fields)

    def _submit(self, deliveries: list[Name]) -> None:
        for name in deliveries:
            if name in self._held:
                demand(self._held[name] is Held.PUT_OFF, "a delivery is submitted that was not put off")
            else:
                demand(name[0] > self._highest, "deliveries are submitted in another order, or again")
                self._highest = name[0]
            self._held[name] = Held.SUBMITTED

    def _claim(self, deliveries: list[Name], keys: list[str]) -> None:
        demand(self._transaction is None, "the transaction before has not ended")
        for name in deliveries:
            is_held = self._held.get(name, Held.PUT_OFF) is not Held.PUT_OFF
            demand(is_held or name in self._lost, f"{name} is not submitted")
        self._transaction = _Transaction(deliveries, set(map(hash, keys)))

    def _record(self, deliveries: list[Name]) -> None:
        transaction = self._demand_transaction()
        demand(not transaction.recorded, "dead letters are recorded twice")
        transaction.recorded = set(deliveries)
        demand(transaction.recorded <= set(transaction.deliveries), "other deliveries are recorded")

    def _roll_back(self) -> None:
        self._demand_transaction()
        self._transaction = None

    def _commit(self, deliveries: list[Name]) -> None:
        transaction = self._demand_transaction()
        self._transaction = None
        demand(transaction.deliveries == deliveries, "other deliveries were claimed")
        for name in self._held.keys() & deliveries:
            self._held[name] = Held.REFUSED if name in transaction.recorded else Held.COMMITTED
        demand(self.effects.isdisjoint(transaction.keys), "an event takes effect twice")
        self.effects |= transaction.keys

    def _demand_transaction(self) -> _Transaction:
        demand(self._transaction, "no transaction has begun")
        assert self._transaction is not None
        return self._transaction

    def _put_off(self, deliveries: list[Name]) -> None:
        for name in deliveries:
            demand(self._held.get(name) is Held.SUBMITTED, "a delivery is put off that is not submitted")
            self._held[name] = Held.PUT_OFF

    def _reject(self, tag: int, *, requeue: bool) -> None:
        names = [name for name in self._held if name[0] == tag]
        # pika itself requeues what arrives after the consumer was cancelled.
        demand(bool(names) is not requeue, "a delivery is requeued, or rejected again")
        self._settle(names, Held.REFUSED)

    def _acknowledge(self, tag: int, *, multiple: bool, deliveries: int) -> None:
        names = [name for name in self._held if name[0] == tag or (multiple and name[0] < tag)]
        demand(len(names) == deliveries, "other deliveries are acknowledged than the consumer means")
        self._settle(names, Held.COMMITTED)

    def _settle(self, names: Iterable[Name], as_they_are: Held) -> None:
        for name in names:
            demand(self._held.pop(name) is as_they_are, f"{name} is settled, and that is not committed")

    def _lose(self) -> None:
        self._lost.update(self._held)
        self._held.clear()
        self._highest = 0
