"""Hold the settings that the edge's processes are made of, and take new ones up at a reload."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from messaging.errors import ConfigurationError
from messaging.log import configure_logging, logger
from webhook_api.extensions import load_extensions
from webhook_api.settings import EdgeSettings

FIXED: Final = {
    "bind": "OM_BIND",
    "processes": "OM_EDGE_PROCESSES",
    "state_directory": "OM_STATE_DIRECTORY",
    "log_form": "OM_LOG_FORMAT",
}
"""What the master itself has begun with, by field: another value needs a restart."""


class HeldSettings:
    """The master's settings; each process is forked with them, one that replaces a dead one as well.

    Args:
        settings: What it started with.
    """

    def __init__(self, settings: EdgeSettings) -> None:
        self.settings = settings

    def reload(self) -> None:
        """Read them again; those that would be refused at a start are refused here, and the old ones hold."""
        try:
            new = EdgeSettings.from_environment()
            load_extensions(new.flask_extensions)
        except ConfigurationError as exc:
            logger().error("reload_refused", reason=str(exc), consequence="the settings before it hold")
            return
        self.settings, waiting = taken_up(self.settings, new)
        configure_logging(self.settings.log_level, process="edge", form=self.settings.log_form)
        logger().info("settings_reloaded", restart_needed_for=waiting)


def taken_up(old: EdgeSettings, new: EdgeSettings) -> tuple[EdgeSettings, list[str]]:
    """Return what holds after a reload, and the variables that have to wait for a restart."""
    kept = {field: getattr(old, field) for field in FIXED}
    waiting = [variable for field, variable in FIXED.items() if getattr(new, field) != kept[field]]
    return replace(new, **kept), waiting
