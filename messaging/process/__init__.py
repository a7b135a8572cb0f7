"""Be a process under a service manager: tell it how we are, heed its signals, end when stuck."""

from messaging.process.reloading import reload_log_level_at_hangup
from messaging.process.service_manager import ServiceManager
from messaging.process.watchdog import Watchdog

__all__ = [
    "ServiceManager",
    "Watchdog",
    "reload_log_level_at_hangup",
]
