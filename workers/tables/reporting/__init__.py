"""Put on record how the service is: its edges, its workers, their brakes, how notifications arrive."""

from workers.tables.reporting.brake_records import (
    IS_BRAKED_NOW,
    BrakeRecord,
    braked_workers,
    forget_brake,
    note_brake,
    release_brakes,
)
from workers.tables.reporting.edge_records import (
    Acknowledgements,
    acknowledgements_since,
    record_edge_statistics,
)
from workers.tables.reporting.notification_statistics import Notifications, notifications_by_day, summed
from workers.tables.reporting.worker_records import (
    REPORT_SECONDS,
    SILENT_SECONDS,
    Figures,
    WorkerReport,
    forget_worker,
    note_worker,
    worker_reports_now,
)

__all__ = [
    "IS_BRAKED_NOW",
    "REPORT_SECONDS",
    "SILENT_SECONDS",
    "Acknowledgements",
    "BrakeRecord",
    "Figures",
    "Notifications",
    "WorkerReport",
    "acknowledgements_since",
    "braked_workers",
    "forget_brake",
    "forget_worker",
    "note_brake",
    "note_worker",
    "notifications_by_day",
    "record_edge_statistics",
    "release_brakes",
    "summed",
    "worker_reports_now",
]
