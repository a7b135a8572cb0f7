"""Name the table of what workers say of themselves."""

from __future__ import annotations

from sqlalchemy import Table, Text

from workers.db.models.columns import Identifier, UtcDateTime, column, metadata, primary_key

worker_reports = Table(
    "worker_reports",
    metadata,
    primary_key("role", Identifier, "intake, settle, deliver or reconcile"),
    primary_key("worker", Identifier, "Host and name of the process"),
    column("started_at", UtcDateTime, "When the process began, our clock; its counts begin with it"),
    column("reported_at", UtcDateTime, "When it last said so, our clock; every ten seconds"),
    column("figures", Text, "Its counts as JSON: by name, or by name and destination"),
    comment="Workers that run, and what each has counted; one that stops takes its row away",
)
