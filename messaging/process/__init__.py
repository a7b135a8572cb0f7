"""Run under a service manager: readiness, SIGHUP, and the end of a process that hangs."""

from messaging.process.reloading import configure_process_log
from messaging.process.service_manager import ServiceManager
from messaging.process.watchdog import Watchdog

__all__ = [
    "ServiceManager",
    "Watchdog",
    "configure_process_log",
]
