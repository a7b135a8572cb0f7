"""Delete what has been kept for as long as it was to be."""

from workers.retain.retaining import Expired, open_database, retain
from workers.retain.settings import RetainSettings, read_retain_settings

__all__ = ["Expired", "RetainSettings", "open_database", "read_retain_settings", "retain"]
