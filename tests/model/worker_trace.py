"""Check that the recorded steps of intake workers follow the protocol in effect.pml.

worker_recording.py writes the trace. A trace can end at any step, because a process can be killed at any
time. A delivery is written as its tag and a digest of its message id. These are the steps and their fields:

* `submit` *deliveries* for processing: new deliveries of the connection, or a delivery whose delay is over;
* `claim` the new *keys* of *deliveries*, `record` some *deliveries* as dead letters, then `commit` the same
  *deliveries*, or `roll_back`: one transaction;
* `put_off` *deliveries* whose handler failed;
* `reject` a *tag*; `acknowledge` a *tag* and, with *multiple*, all lower tags; *deliveries* is the number of
  deliveries that the consumer intends to acknowledge;
* `lose` the connection, after which the broker redelivers all unacknowledged deliveries.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, TypeAlias

from tests.model.host import demand, fields_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Name: TypeAlias = "tuple[int, str]"


class Held(Enum):
    """The state of a delivery that is neither acknowledged nor rejected."""

    SUBMITTED = auto()
    PUT_OFF = auto()
    COMMITTED = auto()
    REFUSED = auto()
    """The delivery is a dead letter, and its reason is committed."""


@dataclass
class _Transaction:
    deliveries: list[Name]
    keys: set[int]
    recorded: set[Name] = field(default_factory=set)


@dataclass
class Worker:
    """Determines which steps a worker may take next.

    Args:
        effects: The keys of the events that took effect on any worker of the same database.
    """

    effects: set[int]
    _held: dict[Name, Held] = field(default_factory=dict)
    _highest: int = 0
    _submitted: int = 0
    _batches: dict[Name, int] = field(default_factory=dict)
    """The number of the batch in which each delivery was submitted."""
    _lost: dict[Name, int] = field(default_factory=dict)
    """The submitted deliveries of lost connections, with their batches. The batch in progress can still be
    committed: the model allows the same run if the commit precedes the worker's end."""
    _transaction: _Transaction | None = None

    def take(self, step: Mapping[str, Any]) -> None:
        """Accept one step.

        Raises:
            TraceError: The protocol does not allow the step at this point.
        """
        fields = fields_of(step)
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
            self._batches[name] = self._submitted
        self._submitted += 1

    def _claim(self, deliveries: list[Name], keys: list[str]) -> None:
        demand(self._transaction is None, "the transaction before has not ended")
        lost = {self._lost.get(name) for name in deliveries}
        if len(lost) == 1 and None not in lost:
            self._lost = {name: batch for name, batch in self._lost.items() if batch in lost}
        elif deliveries:
            # The thread has begun a batch of the new connection, so the lost connection's batch has ended.
            self._lost.clear()
            for name in deliveries:
                is_open = self._held.get(name, Held.PUT_OFF) is not Held.PUT_OFF
                demand(is_open, f"{name} is not submitted")
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
            is_open = self._transaction is not None and name in self._transaction.deliveries
            demand(not is_open, "a delivery is put off whose transaction has not ended")
            self._held[name] = Held.PUT_OFF

    def _reject(self, tag: int, *, requeue: bool) -> None:
        names = [name for name in self._held if name[0] == tag]
        # Only pika itself requeues deliveries: those that arrive after the consumer is cancelled.
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
        submitted = {name for name, held in self._held.items() if held is Held.SUBMITTED}
        self._lost.update({name: self._batches[name] for name in submitted})
        self._held.clear()
        self._batches.clear()
        self._highest = 0
