"""Find what only Flask's dispatch of a webhook would run: hooks, receivers of signals, replaced parts.

For each request, Flask 3.1 runs the functions in its registries, sends its signals, and calls the methods
below. If the registries and signals are empty and every part is Flask's own, calling the webhook's view
directly gives the same answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import flask
from flask import signals

if TYPE_CHECKING:
    from collections.abc import Mapping

REGISTRIES: Final = (
    "url_value_preprocessors",
    "before_request_funcs",
    "after_request_funcs",
    "teardown_request_funcs",
    "teardown_appcontext_funcs",
    "error_handler_spec",
)

SIGNALS: Final = (
    signals.appcontext_pushed,
    signals.request_started,
    signals.request_finished,
    signals.got_request_exception,
    signals.request_tearing_down,
    signals.appcontext_tearing_down,
    signals.appcontext_popped,
)

PARTS: Final = (
    "request_class",
    "response_class",
    "session_interface",
    "request_context",
    "app_context",
    "create_url_adapter",
    "full_dispatch_request",
    "preprocess_request",
    "dispatch_request",
    "ensure_sync",
    "finalize_request",
    "make_response",
    "process_response",
    "do_teardown_request",
    "do_teardown_appcontext",
)
"""Attributes of an application that its dispatch uses and an extension can replace."""


def parts_of(app: flask.Flask, path: str) -> dict[str, Any]:
    """Return the parts that the dispatch of a POST to *path* uses, by name.

    Args:
        app: The application.
        path: Of a route without parameters.
    """
    endpoint, arguments = app.url_map.bind("localhost").match(path, method="POST")
    return {
        "Flask.wsgi_app": flask.Flask.wsgi_app,
        "route": (endpoint, dict(arguments), app.url_map.host_matching),
        "view": app.view_functions.get(endpoint),
        **{name: getattr(app, name) for name in PARTS},
        **{name: app.config.get(name) for name in flask.Flask.default_config},
    }


def first_hook(app: flask.Flask, path: str, as_made: Mapping[str, Any]) -> str | None:
    """Return the name of the first thing that a direct call of the view would skip; None if there is none.

    Args:
        app: The application, with all its extensions.
        path: As of `parts_of`.
        as_made: The parts before any extension could replace them.
    """
    named = {name: getattr(app, name) for name in REGISTRIES}
    named |= {signal.name: signal.receivers for signal in SIGNALS}
    parts = parts_of(app, path)
    # An agent that was loaded before this module has wrapped functions of Flask's class.
    replaced = [name for name in parts if parts[name] != as_made[name] or hasattr(parts[name], "__wrapped__")]
    return next((name for name, hooked in named.items() if hooked), next(iter(replaced), None))
