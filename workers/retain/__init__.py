"""Delete the rows that have been kept for their retention time."""

from workers.retain.retaining import EVENT_DAYS, RetainSettings, retain
