"""Compare a sender's ledger with the tables and queues of the machine that runs this script."""

import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import requests

from messaging import topology
from messaging.management import QueueDepths
from simulator.accounts import read_accounts

OWNER: Final = Path("/etc/open-messaging/credentials/owner")
HEALTH: Final = "http://127.0.0.1:8080/health/ready"
REST_SECONDS: Final = 240.0


@dataclass(frozen=True, slots=True)
class Account:
    """The outcome of the events that a sender sent.

    Args:
        answered: The number of distinct bodies that were answered with 200.
        lost: The number of answered bodies that were found nowhere.
        repeated: The number of effects beyond one per event.
        refused: The number of bodies that the sender gave up on because none of six attempts got a 200.
    """

    answered: int
    lost: int
    repeated: int
    refused: int


def wait_at_rest() -> None:
    """Block until this machine's journal is empty and only dead letters are left in the queues.

    Raises:
        TimeoutError: Events were still being processed when the time limit expired.
    """
    deadline = time.monotonic() + REST_SECONDS
    while waiting := {**_queued(), **_journalled()}:
        if time.monotonic() > deadline:
            raise TimeoutError(f"not at rest {REST_SECONDS:.0f} s after the last event: {waiting}")
        time.sleep(1.0)


def settle(ledger: Path) -> Account:
    """Compare a sender's ledger with the tables and the dead-letter queue. Call wait_at_rest first."""
    accounts = read_accounts(ledger, _read("OM_DATABASE_URL"), _read("OM_AMQP_URL"))
    verdict, refused = accounts.verdict, sum(not row.answered for row in accounts.ledger)
    return Account(verdict.answered, verdict.lost, verdict.repeated, refused)


def _queued() -> dict[str, int]:
    """Return the depth of each queue that is not empty. A queue of unknown depth does not count as empty."""
    depths = QueueDepths((_read("OM_MANAGEMENT_URL"),), ("amqp:///",)).read()
    queues = (topology.EVENTS_QUEUE, topology.UNROUTED, topology.DEAD_LETTER_RECORDS)
    return {queue: depth for queue in queues if (depth := depths.get(queue, 1))}


def _journalled() -> dict[str, int]:
    left = requests.get(HEALTH, timeout=10.0).json()["journal_bytes"]
    return {"bytes in the journal": left} if left else {}


def _read(name: str) -> str:
    """Return the URL in a credential file, or the first URL if the file lists several."""
    return (OWNER / name).read_text(encoding="utf-8").strip().split(",")[0]


if __name__ == "__main__":
    if sys.argv[1:] == ["rest"]:
        wait_at_rest()
    else:
        print(json.dumps(asdict(settle(Path(sys.argv[2])))))
