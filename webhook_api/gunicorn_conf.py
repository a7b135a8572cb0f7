"""Configure gunicorn for the edge: `gunicorn -c python:webhook_api.gunicorn_conf`."""

import sys
from typing import Any

# The modules are imported once, before the fork, so that a new process can answer at once: on a busy machine,
# the imports take seconds. The imports open no files or sockets and start no threads.
import webhook_api.http  # noqa: F401  # as above
from messaging.errors import EX_CONFIG, ConfigurationError
from messaging.log import configure_logging, logger
from messaging.settings import warn_of_unknown_settings
from webhook_api.app import Edge
from webhook_api.extensions import load_extensions
from webhook_api.http import Service
from webhook_api.settings import EdgeSettings, ReloadableSettings

try:
    _settings = EdgeSettings.from_environment()
    _settings.prepare_state_directory()
    load_extensions(_settings.flask_extensions)
except ConfigurationError as _exc:
    configure_logging("info", process="edge")
    logger().error("configuration_refused", reason=str(_exc))
    sys.exit(EX_CONFIG)

_reloadable = ReloadableSettings(_settings)
configure_logging(_settings.log_level, process="edge")
warn_of_unknown_settings()


def make_service() -> Service:
    """Create an edge's service with the master's current settings; gunicorn calls this after each fork."""
    configure_logging(_reloadable.settings.log_level, process="edge")
    return Edge(_reloadable.settings).service


def on_reload(_server: Any) -> None:
    """Reload the settings; gunicorn calls this on SIGHUP, before it forks new processes."""
    _reloadable.reload()


def on_starting(server: Any) -> None:
    """Refuse to start if gunicorn's command line contradicts this module; gunicorn calls this first."""
    compared = {
        "workers: set OM_EDGE_PROCESSES": (server.cfg.workers, workers),
        "worker_class": (server.cfg.worker_class_str, worker_class),
        "wsgi_app: use OM_FLASK_EXTENSIONS": (server.app.app_uri, wsgi_app),
    }
    refused = [name for name, (value, ours) in compared.items() if value != ours]
    if refused:
        logger().error("configuration_refused", reason=f"gunicorn's {'; '.join(refused)}")
        sys.exit(EX_CONFIG)


wsgi_app = "webhook_api.gunicorn_conf:make_service()"
bind = _settings.bind
workers = _settings.processes
worker_class = "webhook_api.http.LoopWorker"
timeout = 30
graceful_timeout = 20
backlog = 2048
worker_tmp_dir = "/dev/shm"  # noqa: S108  # the heartbeat file must not wait for a disk
control_socket_disable = True
proc_name = "open-messaging-edge"
logconfig_dict = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "messaging.log.library_formatter"}},
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "line", "stream": "ext://sys.stdout"}
    },
    "root": {"level": "WARNING", "handlers": ["console"]},
    "loggers": {"gunicorn.error": {"level": "INFO", "handlers": [], "propagate": True}},
}
"""Logging configuration that gives gunicorn's own log lines the same format as all other log lines."""
