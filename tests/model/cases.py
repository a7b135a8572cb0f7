"""List the cases to check with Spin: the protocol itself, its admitted losses, and known defects.

A case is a model in which some macros are replaced. The protocol itself must have no counterexample. Each
window (a situation in which docs/guarantees.md admits a loss) and each defect must have a counterexample.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

EDGE: Final = "edge"
EFFECT: Final = "effect"
BOUNDS: Final = {EDGE: {"EVENTS": "3", "FAULTS": "3"}, EFFECT: {"FAULTS": "3"}}
"""The sizes of the models: at most three events and three faults. Each model has two processes per kind."""

ONE_NODE: Final = {"NODES": "1"}
THREE_NODES: Final = {"NODES": "3"}


@dataclass(frozen=True)
class Case:
    """A case that one run of Spin checks.

    Args:
        name: A description of the case.
        model: The name of the model: EDGE or EFFECT.
        macros: The macros that are replaced in the model, with their new values.
    """

    name: str
    model: str
    macros: Mapping[str, str] = field(default_factory=dict)


def _windows(**macros: str) -> dict[str, str]:
    return {**THREE_NODES, **macros}


FLUSH: Final = Case(
    "the queue takes longer than the grace period to flush, and its leader dies",
    EDGE,
    _windows(grace_is_over="true"),
)
POLL: Final = Case("the majority is lost and found again between two polls", EDGE, _windows(is_polled="true"))
VIEW: Final = Case(
    "another node than the one published to shows a majority", EDGE, _windows(shows_majority="true")
)
WINDOWS: Final = (FLUSH, POLL, VIEW)
ALL_WINDOWS: Final = {name: value for window in WINDOWS for name, value in window.macros.items()}

PROTOCOL: Final = (
    Case("from a webhook to a cluster", EDGE, {**THREE_NODES, "STRICT": "1"}),
    Case("from the queue to one effect", EFFECT),
    Case("from a webhook to a lone broker", EDGE, {**ONE_NODE, "STRICT": "1"}),
    Case("with publisher confirms, all windows open", EDGE, {**ALL_WINDOWS, "CONFIRMS": "1", "STRICT": "1"}),
    Case("with publisher confirms, a lone broker", EDGE, {**ONE_NODE, "CONFIRMS": "1", "STRICT": "1"}),
)

DEFECTS: Final = (
    Case("no grace period", EDGE, {**ONE_NODE, "grace_is_over": "true"}),
    Case(
        "the grace period counts until the answer is read", EDGE, {**ONE_NODE, "GRACE_UNTIL_THE_ANSWER": "1"}
    ),
    Case("unlinked before the answer", EDGE, {**ONE_NODE, "unlinked_at_once": "sent[p]"}),
    Case("unlinked at the first answer", EDGE, {**ONE_NODE, "proven": "(due[p] | sent[p])"}),
    Case("the growing segment is unlinked too", EDGE, {**ONE_NODE, "GROWING_SEGMENT_IS_UNLINKED": "1"}),
    Case("an interruption publishes nothing again", EDGE, {**ONE_NODE, "NOTHING_IS_PUBLISHED_AGAIN": "1"}),
    Case(
        "a first answer outlives its connection",
        EDGE,
        {
            **ONE_NODE,
            "PROOF_OUTLIVES_CONNECTION": "1",
            "proven": "(due[p] | sent[p] & remembered[p])",
        },
    ),
    Case("the probe goes over another channel", EDGE, {**ONE_NODE, "is_handled": "true"}),
    Case("a returned event is ignored", EDGE, {**ONE_NODE, "RETURN_IS_IGNORED": "1"}),
    Case("a segment is published in part", EDGE, {**ONE_NODE, "unpublished": "published[p]"}),
    Case("a failed write is answered 200", EDGE, {**ONE_NODE, "unwritten": "chosen"}),
    Case("the directory of a live process is adopted", EDGE, {**ONE_NODE, "ADOPT_LIVE": "1"}),
    Case("a majority is taken for granted", EDGE, {**THREE_NODES, "MAJORITY_TAKEN_FOR_GRANTED": "1"}),
    Case("a proof needs no majority", EDGE, {**THREE_NODES, "proven": "due[p]"}),
    Case("acknowledged before the commit", EFFECT, {"ACKNOWLEDGE_BEFORE_COMMIT": "1"}),
    Case("an acknowledgement covers a delivery that is put off", EFFECT, {"ACKNOWLEDGE_COVERS_PUT_OFF": "1"}),
    Case("a delivery that is put off is kept in memory alone", EFFECT, {"RETRY_FROM_MEMORY": "1"}),
    Case("claimed outside the effect's transaction", EFFECT, {"CLAIM_OUTSIDE_TRANSACTION": "1"}),
    Case("looked up before it is claimed", EFFECT, {"CHECK_BEFORE_CLAIM": "1"}),
    Case("rejected before the reason is recorded", EFFECT, {"REJECT_BEFORE_RECORD": "1"}),
    Case("a replay leaves the plain key free", EFFECT, {"keys_of_first_replay": "R"}),
    Case("a replay leaves the key of its generation free", EFFECT, {"keys_of_first_replay": "A"}),
    Case("a dead letter is removed before its copy is published", EFFECT, {"REPLAY_REMOVES_FIRST": "1"}),
    Case("keys are forgotten before the platform's history", EFFECT, {"is_compared": "occurred"}),
)
