"""Delete rows that have been kept for their time."""

from workers.retain.retaining import EVENT_DAYS, RetainSettings, retain
