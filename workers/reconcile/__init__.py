"""Compare processed events with the platform's history, and publish the missing ones."""

from workers.reconcile.bounds import DAY_US, MARGIN_US, Bounds, safe_cutoff
from workers.reconcile.check import CheckResult
from workers.reconcile.comparison import Comparison, ProgressRecord
from workers.reconcile.platform_history import PlatformHistory
from workers.reconcile.publishing import EventsExchange
from workers.reconcile.reconciler import Reconciler
from workers.reconcile.reconstruction import ReconstructedEvent
from workers.reconcile.settings import ReconcileSettings, open_platform_history
