"""The sender's own account, and what the tables say to it."""

from simulator.ledger.file import Ledger
from simulator.ledger.rows import LedgerRow, read_ledger
from simulator.ledger.settlement import (
    DeadLetterRow,
    Effect,
    LedgerVerdict,
    ProcessedRow,
    reconcile_ledger,
)
from simulator.ledger.tables import read_dead_letters, read_processed, settle

__all__ = [
    "DeadLetterRow",
    "Effect",
    "Ledger",
    "LedgerRow",
    "LedgerVerdict",
    "ProcessedRow",
    "read_dead_letters",
    "read_ledger",
    "read_processed",
    "reconcile_ledger",
    "settle",
]
