"""Serve the status page and its data, the documentation, and the metrics."""

import re
from pathlib import Path
from typing import Final

from flask import Flask, Response, jsonify, redirect, request, send_from_directory
from markdown_it import MarkdownIt
from prometheus_client import CollectorRegistry, make_wsgi_app
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.wrappers import Response as Redirection

from messaging.host_header import refuse_foreign_hosts
from workers.observe.collector import ServiceCollector
from workers.observe.status import Probes, build_state

HEADERS: Final = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

RUNBOOK: Final = Path(__file__).with_name("runbook.md")
"""A link to docs/runbook.md; in the wheel, a copy of it."""
SITE: Final = Path(__file__).with_name("site")
"""The documentation as `make docs` writes it; missing in an installation from a checkout without it."""
SITE_POLICY: Final = "default-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"
"""The site's theme has scripts in its pages. They show nothing that anyone sent."""


def make_app(probes: Probes) -> Flask:
    """Return the application: /metrics, /ops, /runbook and /docs."""
    app = Flask(__name__, static_folder="static", static_url_path="/ops/static")
    registry = CollectorRegistry()
    registry.register(ServiceCollector(probes.metrics, probes.depths, probes.canary))
    mounted = DispatcherMiddleware(app.wsgi_app, {"/metrics": make_wsgi_app(registry)})
    app.wsgi_app = refuse_foreign_hosts(mounted)  # type: ignore[assignment,method-assign]  # as Flask documents it

    @app.get("/")
    def start() -> Redirection:
        """Redirect to the page."""
        return redirect("/ops")

    @app.get("/ops")
    def page() -> Response:
        """Return the page itself."""
        return app.send_static_file("ops.html")

    @app.get("/ops/state")
    def state() -> Response:
        """Return everything that the page shows."""
        return jsonify(build_state(probes))

    @app.get("/runbook")
    def runbook() -> str:
        """Return docs/runbook.md as a page."""
        return render_runbook(RUNBOOK.read_text(encoding="utf-8"))

    @app.get("/docs/", defaults={"path": "index.html"})
    @app.get("/docs/<path:path>")
    def documentation(path: str) -> Response:
        """Return a file of the documentation."""
        return send_from_directory(SITE, path)

    @app.after_request
    def protect(response: Response) -> Response:
        """Let the page load nothing from elsewhere, and let no cache keep it."""
        response.headers.update(HEADERS)
        if request.path.startswith("/docs/"):
            response.headers["Content-Security-Policy"] = SITE_POLICY
        return response

    return app


def render_runbook(markdown: str) -> str:
    """Return the runbook as HTML; each alert's heading has the anchor that its runbook_url names."""
    html = MarkdownIt().enable("table").render(markdown)
    html = re.sub(r"<h2>(\w+)</h2>", lambda found: f'<h2 id="{found[1].lower()}">{found[1]}</h2>', html)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Runbook</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="stylesheet" href="/ops/static/ops.css"><main class="text">{html}</main>'
    )
