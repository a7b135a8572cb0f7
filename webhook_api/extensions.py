"""Find the functions by which an integrator extends the Flask application (OM_FLASK_EXTENSIONS)."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from messaging.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Flask

    Extension = Callable[[Flask], object]


def load_extensions(names: tuple[str, ...]) -> tuple[Extension, ...]:
    """Import each function that is to be called with the application.

    Args:
        names: package.module:function

    Raises:
        ConfigurationError: One cannot be imported, or is no function.
    """
    return tuple(_load(name) for name in names)


def _load(name: str) -> Extension:
    module_name, separator, function_name = name.partition(":")
    if not (separator and module_name and function_name):
        raise ConfigurationError("OM_FLASK_EXTENSIONS must be package.module:function, comma-separated")
    try:
        function = getattr(import_module(module_name), function_name, None)
    except Exception as exc:
        # Importing runs the module, which may raise anything.
        raise ConfigurationError(
            f"OM_FLASK_EXTENSIONS: {module_name} cannot be imported ({type(exc).__name__})"
        ) from exc
    if not callable(function):
        raise ConfigurationError(f"OM_FLASK_EXTENSIONS: {module_name} has no function {function_name}")
    extension: Extension = function
    return extension
