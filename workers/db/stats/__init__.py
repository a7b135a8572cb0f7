"""Record the state of the service: its edges, its workers, how notifications arrive."""

from workers.db.stats.edge_records import (
    Acknowledgements,
    acknowledgements_since,
    record_edge_statistics,
)
from workers.db.stats.notification_statistics import Notifications, notifications_by_day, summed
from workers.db.stats.worker_records import (
    CLOCK_AHEAD,
    REPORT_SECONDS,
    SILENT_SECONDS,
    Figures,
    WorkerReport,
    forget_worker,
    note_worker,
    worker_reports_now,
)

__all__ = [
    "CLOCK_AHEAD",
    "REPORT_SECONDS",
    "SILENT_SECONDS",
    "Acknowledgements",
    "Figures",
    "Notifications",
    "WorkerReport",
    "acknowledgements_since",
    "forget_worker",
    "note_worker",
    "notifications_by_day",
    "record_edge_statistics",
    "summed",
    "worker_reports_now",
]
