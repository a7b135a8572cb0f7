"""Serve the status page and what its script asks, beside the metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from flask import Flask, Response, jsonify, redirect
from prometheus_client import CollectorRegistry, make_wsgi_app
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from messaging.host_header import refuse_foreign_hosts
from workers.observe.page.overview import overview, samples_of
from workers.observe.page.troubles import troubles
from workers.observe.remembering import REMEMBERED_SECONDS, Remembered

if TYPE_CHECKING:
    from prometheus_client.registry import Collector
    from werkzeug.wrappers import Response as Redirection

    from workers.observe.page.edges import Edges
    from workers.observe.page.flow import Flow

HEADERS: Final = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def ops_app(collector: Collector, flow: Flow, edges: Edges) -> Flask:
    """Return the application: /metrics, /ops and what it needs.

    Args:
        collector: Knows how everything stands; each scrape asks it, all open pages together now and then.
        flow: Knows what has been processed in the last hour.
        edges: Knows what the edges answered lately.
    """
    app = Flask(__name__, static_folder="static", static_url_path="/ops/static")
    samples = Remembered(lambda: samples_of(collector.collect()), REMEMBERED_SECONDS)
    registry = CollectorRegistry()
    registry.register(collector)
    mounted = DispatcherMiddleware(app.wsgi_app, {"/metrics": make_wsgi_app(registry)})
    app.wsgi_app = refuse_foreign_hosts(mounted)  # type: ignore[assignment,method-assign]  # as Flask documents it

    @app.get("/")
    def start() -> Redirection:
        """Send whoever guesses to the page."""
        return redirect("/ops")

    @app.get("/ops")
    def page() -> Response:
        """Return the page itself."""
        return app.send_static_file("ops.html")

    @app.get("/ops/state")
    def state() -> Response:
        """Return everything that the page shows."""
        known = samples.read()
        return jsonify(
            {
                **overview(known),
                "flow": flow.read(),
                "edges": edges.read(),
                "troubles": troubles(known),
            }
        )

    @app.after_request
    def protect(response: Response) -> Response:
        """Let the page load nothing from elsewhere, and nobody keep what it shows."""
        response.headers.update(HEADERS)
        return response

    return app
