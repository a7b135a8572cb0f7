"""Take up another log level at SIGHUP, in a process that has nothing else to take up without a restart."""

from __future__ import annotations

import signal
import threading

from messaging.environment import Environment
from messaging.errors import ConfigurationError
from messaging.log import FORMS, JSON, LEVELS, configure_logging, logger


def reload_log_level_at_hangup(process: str) -> None:
    """Read OM_LOG_LEVEL again whenever SIGHUP comes, which would end the process otherwise.

    Args:
        process: As `configure_logging` has it.
    """
    # On a thread of its own: a signal may come while its thread is writing a line.
    signal.signal(signal.SIGHUP, lambda *_: threading.Thread(target=_reload, args=(process,)).start())


def _reload(process: str) -> None:
    try:
        environment = Environment()
        level = environment.one_of("OM_LOG_LEVEL", LEVELS, "info")
        configure_logging(level, process=process, form=environment.one_of("OM_LOG_FORMAT", FORMS, JSON))
    except ConfigurationError as exc:
        logger().error("reload_refused", reason=str(exc), consequence="the log level before it holds")
    else:
        logger().info("settings_reloaded", log_level=level)
