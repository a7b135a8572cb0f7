"""Delete what has been kept for as long as it was to be."""

from workers.retain.retaining import Expired, open_database, retain
from workers.retain.settings import EVENT_DAYS, RetainSettings, read_retain_settings

__all__ = ["EVENT_DAYS", "Expired", "RetainSettings", "open_database", "read_retain_settings", "retain"]
