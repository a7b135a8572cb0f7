"""Delete rows whose retention time is over."""

from workers.retain.retaining import EVENT_DAYS, RetainSettings, retain
