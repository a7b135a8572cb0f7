"""Compare processed events with the platform's history, and publish the events that are missing here."""

from workers.reconcile.bounds import DAY_US, MARGIN_US, MIN_COMPARED, Bounds, safe_cutoff
from workers.reconcile.check import CheckResult
from workers.reconcile.comparison import Comparison, ProgressRecord
from workers.reconcile.platform_history import PlatformHistory
from workers.reconcile.publishing import EventsExchange
from workers.reconcile.reconciler import Reconciler, ReconcileSettings
from workers.reconcile.reconstruction import ReconstructedEvent
