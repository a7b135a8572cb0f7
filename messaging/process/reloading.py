"""Configure a process's log, and read its level again at SIGHUP."""

from __future__ import annotations

import signal
import threading

from messaging.environment import Environment
from messaging.errors import ConfigurationError
from messaging.log import FORMS, JSON, LEVELS, configure_logging, logger


def configure_process_log(process: str) -> None:
    """Configure the log by OM_LOG_LEVEL and OM_LOG_FORMAT, now and at each SIGHUP.

    Args:
        process: The name of this process in its log lines.

    Raises:
        ConfigurationError: A variable is malformed.
    """
    _configure(process)
    # On a thread of its own: a signal may arrive while its thread is writing a line.
    signal.signal(signal.SIGHUP, lambda *_: threading.Thread(target=_reload, args=(process,)).start())


def _configure(process: str) -> str:
    environment = Environment()
    level = environment.one_of("OM_LOG_LEVEL", LEVELS, "info")
    configure_logging(level, process=process, form=environment.one_of("OM_LOG_FORMAT", FORMS, JSON))
    return level


def _reload(process: str) -> None:
    try:
        level = _configure(process)
    except ConfigurationError as exc:
        logger().error("reload_refused", reason=str(exc), consequence="the previous log level stays")
    else:
        logger().info("settings_reloaded", log_level=level)
