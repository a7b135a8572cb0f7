"""Stand around a demonstrated service: a platform that loses events, services behind, the accounts."""

from simulator.demonstration.accounts import Accounts, read_accounts, reasons_of, table_of
from simulator.demonstration.losses import LOST, Losses, Reconciled, plan_of
from simulator.demonstration.services_behind import (
    ConversationCounts,
    ServicesBehind,
    is_registered,
    read_counts,
    unfinished,
)

__all__ = [
    "LOST",
    "Accounts",
    "ConversationCounts",
    "Losses",
    "Reconciled",
    "ServicesBehind",
    "is_registered",
    "plan_of",
    "read_accounts",
    "read_counts",
    "reasons_of",
    "table_of",
    "unfinished",
]
