"""The sender's own account, and what the service has kept to settle it with."""

from simulator.ledger.file import Ledger
from simulator.ledger.rows import LedgerRow, read_ledger
from simulator.ledger.settlement import (
    DeadLetterRow,
    Effect,
    LedgerVerdict,
    ProcessedRow,
    Records,
    settle,
)
from simulator.ledger.tables import read_records

__all__ = [
    "DeadLetterRow",
    "Effect",
    "Ledger",
    "LedgerRow",
    "LedgerVerdict",
    "ProcessedRow",
    "Records",
    "read_ledger",
    "read_records",
    "settle",
]
