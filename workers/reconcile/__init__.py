"""Compare what was processed with the platform's history, and have what is missing take effect."""

from workers.reconcile.bounds import DAY_US
from workers.reconcile.broker import EventsExchange
from workers.reconcile.checking import Bounds, Checked, Checker
from workers.reconcile.comparing import Comparer, Found, Record
from workers.reconcile.copies import Copy
from workers.reconcile.platform_history import PlatformHistory
from workers.reconcile.reach import reach_of
from workers.reconcile.reconciler import Reconciler
from workers.reconcile.settings import (
    MARGIN_US,
    ReconcileSettings,
    platform_history_of,
    read_reconcile_settings,
)
from workers.reconcile.worklists import GivenWorklist

__all__ = [
    "DAY_US",
    "MARGIN_US",
    "Bounds",
    "Checked",
    "Checker",
    "Comparer",
    "Copy",
    "EventsExchange",
    "Found",
    "GivenWorklist",
    "PlatformHistory",
    "ReconcileSettings",
    "Reconciler",
    "Record",
    "platform_history_of",
    "reach_of",
    "read_reconcile_settings",
]
