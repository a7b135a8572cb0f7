"""Load an integrator's extensions to the Flask application, and find the hooks that they install."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, Final

import flask
from flask import signals

from messaging.errors import ConfigurationError

Extension = Callable[[flask.Flask], object]

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
"""The attributes of a Flask application that its dispatch uses and that an extension can replace."""


def load_extensions(names: tuple[str, ...]) -> tuple[Extension, ...]:
    """Import and return the functions that OM_FLASK_EXTENSIONS names.

    Raises ConfigurationError if a name is not package.module:function, cannot be imported or is not callable.
    """
    return tuple(_load(name) for name in names)


def _load(name: str) -> Extension:
    module_name, _, function_name = name.partition(":")
    if not (module_name and function_name):
        raise ConfigurationError("OM_FLASK_EXTENSIONS must be package.module:function, comma-separated")
    try:
        function: Any = getattr(import_module(module_name), function_name, None)
    except Exception as exc:
        # The import runs the module's code, which can raise any exception.
        raise ConfigurationError(
            f"OM_FLASK_EXTENSIONS: {module_name} cannot be imported ({type(exc).__name__})"
        ) from exc
    if not callable(function):
        raise ConfigurationError(f"OM_FLASK_EXTENSIONS: {module_name} has no function {function_name}")
    return function  # type: ignore[no-any-return]  # its exact type is not known


def dispatch_parts(app: flask.Flask, path: str) -> dict[str, Any]:
    """Return, by name, all parts that Flask uses to dispatch a POST to *path*, a route without parameters."""
    endpoint, arguments = app.url_map.bind("localhost").match(path, method="POST")
    return {
        "Flask.wsgi_app": flask.Flask.wsgi_app,
        "route": (endpoint, dict(arguments), app.url_map.host_matching),
        "view": app.view_functions.get(endpoint),
        **{name: getattr(app, name) for name in PARTS},
        **{name: app.config.get(name) for name in flask.Flask.default_config},
    }


def find_hook(app: flask.Flask, path: str, as_made: Mapping[str, Any]) -> str | None:
    """Return the name of a hook that a direct call to the view would skip; None if there is no such hook.

    For each request, Flask 3.1 runs the functions in REGISTRIES, sends SIGNALS, and uses PARTS. If no
    function or receiver is registered and all parts are Flask's own, a direct call has the same result.
    """
    named = {name: getattr(app, name) for name in REGISTRIES}
    named |= {signal.name: signal.receivers for signal in SIGNALS}
    parts = dispatch_parts(app, path)
    # A monitoring agent that was loaded before this module might have wrapped methods of Flask's classes.
    replaced = [name for name in parts if parts[name] != as_made[name] or hasattr(parts[name], "__wrapped__")]
    return next((name for name, hooked in named.items() if hooked), next(iter(replaced), None))
