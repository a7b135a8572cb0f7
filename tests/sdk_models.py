"""Check and make JSON according to the models of the platform's SDK, without importing every model."""

import importlib
import importlib.util
import inspect
import os
import re
import sys
import types
from datetime import datetime
from functools import cache
from pathlib import Path

import pytest

PACKAGE = "PureCloudPlatformClientV2"
OUTDATED = "outdated_sdk_version"
"""The SDK's setters store this value in place of a value that is not in the attribute's enumeration."""
MOMENT = "2026-01-05T08:00:00.000Z"
DEEPEST = 6
"""The maximum depth of a made value: the actions of a carousel's cards. Deeper levels only repeat models."""
SCALARS = {"str": str, "int": int, "bool": bool, "float": (int, float), "object": object}


def require_sdk():
    """If the SDK is missing, skip the test on a laptop and fail it in CI."""
    if _home() is not None:
        return
    message = "the platform's SDK is not installed: pip install -e .[sdk]"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


def faults(kind, value, path="$"):
    """Yield each field, type or enumerated value of *value* that violates the SDK's declaration of *kind*."""
    if value is None:
        return
    if kind in SCALARS:
        if not isinstance(value, SCALARS[kind]) or (isinstance(value, bool) and kind in {"int", "float"}):
            yield f"{path} is no {kind}"
    elif kind == "datetime":
        yield from () if _is_moment(value) else (f"{path} is no datetime",)
    elif inner := re.fullmatch(r"list\[(.*)\]", kind):
        yield from _faults_of_all(inner[1], enumerate(value) if isinstance(value, list) else None, path)
    elif inner := re.fullmatch(r"dict\(str, (.*)\)", kind):
        yield from _faults_of_all(inner[1], value.items() if isinstance(value, dict) else None, path)
    else:
        yield from _faults_of_model(kind, value, path)


def _faults_of_all(kind, pairs, path):
    if pairs is None:
        yield f"{path} holds no {kind}"
        return
    for key, each in pairs:
        yield from faults(kind, each, f"{path}.{key}")


def _faults_of_model(kind, value, path):
    if not isinstance(value, dict):
        yield f"{path} is no {kind}"
        return
    model = _model(kind)()
    attributes = {key: name for name, key in model.attribute_map.items()}
    for key, each in value.items():
        if key not in attributes:
            yield f"{path}.{key} is no field of {kind}"
            continue
        declared = model.swagger_types[attributes[key]]
        yield from faults(declared, each, f"{path}.{key}")
        if declared == "str" and isinstance(each, str):
            setattr(model, attributes[key], each)
            if getattr(model, attributes[key]) == OUTDATED:
                yield f"{path}.{key} is {each!r}, which its enumeration does not have"


def _is_moment(value):
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


@cache
def _home():
    spec = importlib.util.find_spec(PACKAGE)
    return None if spec is None else Path(spec.origin).parent


@cache
def _model(kind):
    """Load one model without the imports of its package."""
    for name, directory in ((PACKAGE, _home()), (f"{PACKAGE}.models", _home() / "models")):
        if name not in sys.modules:
            package = types.ModuleType(name)
            package.__path__ = [str(directory)]
            sys.modules[name] = package
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind).lower()
    return getattr(importlib.import_module(f"{PACKAGE}.models.{snake}"), kind)


def made(kind, depth=0):
    """Return a value of a type that the SDK declares, or None if the type is nested too deeply."""
    if inner := re.fullmatch(r"list\[(.*)\]", kind):
        value = made(inner[1], depth)
        return None if value is None else [value]
    if inner := re.fullmatch(r"dict\(str, (.*)\)", kind):
        return {"key": made(inner[1], depth)}
    simple = {
        "str": "words",
        "int": 1,
        "float": 1.5,
        "bool": True,
        "object": {"key": "words"},
        "datetime": MOMENT,
    }
    if kind in simple:
        return simple[kind]
    return None if depth == DEEPEST else _made_model(kind, depth)


@cache
def values_of(kind, attribute):
    """Return the values that the SDK allows for a model's attribute; an empty list means any value."""
    setter = getattr(type(_model(kind)()), attribute).fset
    listed = re.search(r"allowed_values = \[(.*?)\]", inspect.getsource(setter), re.DOTALL)
    return re.findall(r'"([^"]*)"', listed[1]) if listed else []


def _made_model(kind, depth):
    model = _model(kind)()
    body = {}
    for attribute, name in model.attribute_map.items():
        declared = model.swagger_types[attribute]
        values = values_of(kind, attribute) if declared == "str" else []
        value = values[0] if values else made(declared, depth + 1)
        if value is not None:
            body[name] = value
    return body
