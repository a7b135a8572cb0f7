"""Tell whether Flask's dispatch of a webhook would run anything beside the webhook's own view.

What Flask 3.1 runs for a request, in its order: request and application context with their signals, session,
routing, `request_started`, URL value preprocessors, `before_request`, the view, error handlers,
`after_request`, `request_finished`, teardowns with their signals. Where nothing hangs on any of them, a
direct call of the view gives the same answer.
"""

from __future__ import annotations

import inspect
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import flask
from flask import signals
from flask.ctx import AppContext, RequestContext
from flask.sessions import SecureCookieSessionInterface

if TYPE_CHECKING:
    from flask import Flask

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

DISPATCH: Final[tuple[tuple[type, tuple[str, ...]], ...]] = (
    (
        flask.Flask,
        (
            "wsgi_app",
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
        ),
    ),
    (RequestContext, ("__init__", "push", "match_request", "pop")),
    (AppContext, ("__init__", "push", "pop")),
)
"""The functions that a request passes through; instrumentation replaces them with its own."""

_FLASK: Final = str(Path(flask.__file__).parent)


class Hooks:
    """What may hang on the way of one route's requests through an application.

    Args:
        app: Its blueprints are registered, nobody else has touched it yet.
        path: Of the route, which is a POST without parameters.
    """

    def __init__(self, app: Flask, path: str) -> None:
        self._app = app
        self._path = path
        self._endpoint, _ = self._route()
        self._view = app.view_functions[self._endpoint]
        self._config = _flask_config(app)
        self._is_stock: bool | None = None
        # Each is one object for good, and empty while nobody has hooked in: looking at all of them costs
        # a request a quarter of a microsecond.
        self._registries: tuple[Any, ...] = (
            *(getattr(app, name) for name in REGISTRIES),
            *(signal.receivers for signal in SIGNALS),
        )

    def are_none(self) -> bool:
        """Tell whether a request may go to the view directly.

        Functions and receivers count from the moment they are added. What replaces or configures parts of
        Flask itself is looked for once, at the first request, when the application is complete.
        """
        if any(self._registries) or self._app.view_functions.get(self._endpoint) is not self._view:
            return False
        if self._is_stock is None:
            self._is_stock = self._is_unchanged()
        return self._is_stock

    def _is_unchanged(self) -> bool:
        app = self._app
        return (
            _dispatches_as_made(app)
            and app.request_class is flask.Request
            and app.response_class is flask.Response
            and type(app.session_interface) is SecureCookieSessionInterface
            and not app.url_map.host_matching
            and _flask_config(app) == self._config
            and self._route() == (self._endpoint, {})
        )

    def _route(self) -> tuple[str, dict[str, Any]]:
        endpoint, arguments = self._app.url_map.bind("localhost").match(self._path, method="POST")
        return str(endpoint), dict(arguments)


def _flask_config(app: Flask) -> dict[str, object]:
    """Return what is set of Flask's own configuration; an extension's own keys change no dispatch."""
    return {name: app.config.get(name) for name in flask.Flask.default_config}


def _dispatches_as_made(app: Flask) -> bool:
    """Tell whether every function of the dispatch is Flask's or the application class's own."""
    homes = (_FLASK, inspect.getfile(type(app)))
    of_app = DISPATCH[0][1]
    return (
        all(_is_from(homes, owner, name) for owner, names in DISPATCH for name in names)
        and all(_is_from(homes, type(app), name) for name in of_app)
        # A middleware stands in `wsgi_app`, and has been called when this is asked.
        and not (vars(app).keys() & of_app) - {"wsgi_app"}
    )


def _is_from(homes: tuple[str, ...], owner: type, name: str) -> bool:
    """Tell whether a method is a plain function defined in one of the files or folders *homes*."""
    function = next((vars(each)[name] for each in owner.__mro__ if name in vars(each)), None)
    return type(function) is types.FunctionType and function.__code__.co_filename.startswith(homes)
