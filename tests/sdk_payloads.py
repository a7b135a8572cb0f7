"""Make bodies by the models of the platform's official SDK: every field that they declare, filled."""

import inspect
import re
from functools import cache

from tests.sdk_models import _model

MOMENT = "2026-01-05T08:00:00.000Z"
DEEPEST = 6
"""A carousel has cards, which have actions; deeper the models only repeat themselves."""


def made(kind, depth=0):
    """Return a value of a type that the SDK declares, None of one nested too deeply."""
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
    """Return the closed list of values that a model's attribute has, empty where it has none."""
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
