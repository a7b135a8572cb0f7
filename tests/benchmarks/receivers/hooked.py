"""Hook into the edge's Flask application, so that every webhook takes Flask's whole dispatch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask


def install(app: Flask) -> None:
    """Run a function before each request that does nothing."""
    app.before_request(lambda: None)
