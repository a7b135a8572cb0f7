"""Compare processed events with the platform's history, and publish the missing ones."""

from workers.reconcile.bounds import DAY_US, MARGIN_US, Bounds, safe_cutoff
from workers.reconcile.check import CheckResult
from workers.reconcile.comparison import Comparison, ProgressRecord
from workers.reconcile.platform_history import PlatformHistory, open_platform_history
from workers.reconcile.publishing import EventsExchange
from workers.reconcile.reconciler import Reconciler, ReconcileSettings
from workers.reconcile.reconstruction import ReconstructedEvent
