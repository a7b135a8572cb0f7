"""Serve the status page and its data, the documentation and the metrics, on several gunicorn threads."""

import re
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from wsgiref.types import WSGIApplication

from flask import Flask, Response, jsonify, redirect, request, send_from_directory
from gunicorn.app.base import BaseApplication
from markdown_it import MarkdownIt
from prometheus_client import CollectorRegistry, make_wsgi_app
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from messaging.errors import ConfigurationError
from messaging.host_header import refuse_foreign_hosts
from messaging.log import logger
from workers.observe.collector import ServiceCollector
from workers.observe.status import Probes, build_state

THREADS: Final = 8

STOP_SECONDS: Final = 5

HEADERS: Final = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

RUNBOOK: Final = Path(__file__).with_name("runbook.md")
"""The runbook: a symbolic link to docs/runbook.md in a checkout, and a copy of that page in the wheel."""
SITE: Final = Path(__file__).with_name("site")
"""The documentation, which `make docs` builds; it is missing if the package was installed without it."""
SITE_POLICY: Final = "default-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"
"""Allows the inline scripts of the documentation's theme; its pages contain no data from requests."""


def make_app(probes: Probes) -> Flask:
    """Return the application, which serves /metrics, /ops, /runbook and /docs."""
    app = Flask(__name__, static_folder="static", static_url_path="/ops/static")
    registry = CollectorRegistry()
    registry.register(ServiceCollector(probes.metrics, probes.depths, probes.canary))
    mounted = DispatcherMiddleware(app.wsgi_app, {"/metrics": make_wsgi_app(registry)})
    app.wsgi_app = refuse_foreign_hosts(mounted)  # type: ignore[assignment,method-assign]  # as Flask documents it

    app.add_url_rule("/", "start", lambda: redirect("/ops"))
    app.add_url_rule("/ops", "page", lambda: app.send_static_file("ops.html"))
    app.add_url_rule("/ops/state", "state", lambda: jsonify(build_state(probes)))
    app.add_url_rule("/runbook", "runbook", lambda: render_runbook(RUNBOOK.read_text(encoding="utf-8")))
    app.add_url_rule("/docs/", "start_of_docs", lambda: send_from_directory(SITE, "index.html"))
    app.add_url_rule("/docs/<path:path>", "docs", lambda path: send_from_directory(SITE, path))
    app.after_request(_protect)
    return app


def _protect(response: Response) -> Response:
    """Add headers that stop pages from loading other hosts' content, and caches from storing the pages."""
    response.headers.update(HEADERS)
    if request.path.startswith("/docs/"):
        response.headers["Content-Security-Policy"] = SITE_POLICY
    return response


def render_runbook(markdown: str) -> str:
    """Return the runbook as HTML. Each alert's heading gets the anchor to which its runbook_url links."""
    html = MarkdownIt().enable("table").render(markdown)
    html = re.sub(r"<h2>(\w+)</h2>", lambda found: f'<h2 id="{found[1].lower()}">{found[1]}</h2>', html)
    html = re.sub(r'href="(\w+)\.md', r'href="/docs/\1.html', html)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Runbook</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="icon" href="data:,"><link rel="stylesheet" href="/ops/static/ops.css">'
        f'<main class="text">{html}</main>'
    )


def serve(make_app: Callable[[], WSGIApplication], bind: str) -> None:
    """Answer requests until SIGTERM or SIGINT; the process that answers them calls *make_app*."""
    try:
        # Bind the address first: gunicorn would retry this for seconds and then exit with a different status.
        host, _, port = bind.rpartition(":")
        socket.create_server((host, int(port))).close()
    except OSError as error:
        raise ConfigurationError(f"OM_METRICS_BIND: cannot listen on {bind}: {error}") from error
    _Server(make_app, bind).run()


class _Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no annotations
    """Runs gunicorn with only the settings below; gunicorn itself notifies systemd."""

    def __init__(self, make_app: Callable[[], WSGIApplication], bind: str) -> None:
        self._make_app = make_app
        self._bind = bind
        self._on_hangup: Any = signal.getsignal(signal.SIGHUP)
        self._is_reloaded = False
        super().__init__()

    def load_config(self) -> None:
        settings = {
            "bind": self._bind,
            "worker_class": "gthread",
            "threads": THREADS,
            "graceful_timeout": STOP_SECONDS,
            "loglevel": "warning",
            "control_socket_disable": True,
            "when_ready": lambda _: logger().info("metrics_served", bind=self._bind),
            "on_reload": lambda _: setattr(self, "_is_reloaded", True),
        }
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self) -> WSGIApplication:
        if self._is_reloaded and callable(self._on_hangup):
            # On SIGHUP, gunicorn starts a new process, which must reread the log level.
            self._on_hangup(signal.SIGHUP, None)
        return self._make_app()
