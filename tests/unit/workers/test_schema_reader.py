"""A schema refuses every feature of marshmallow that its reader does not support."""

import pytest
from marshmallow import Schema, fields, post_load, pre_load, validate, validates, validates_schema

from workers.parsing.schema_reader import LenientSchema, Words


def schema_with(field):
    return type("Example", (LenientSchema,), {"name": field})()


@pytest.mark.parametrize(
    "option", [{"validate": validate.Length(max=3)}, {"load_default": "x"}, {"allow_none": True}]
)
def test_a_field_refuses_options_that_the_reader_ignores(option):
    with pytest.raises(TypeError):
        Words(**option)


def test_a_schema_with_a_field_of_another_class_is_refused():
    with pytest.raises(TypeError, match=r"Example\.name is not a Checked field"):
        schema_with(fields.String())


@pytest.mark.parametrize(
    "member",
    [
        {"change": pre_load(lambda _, data, **__: data)},
        {"change": post_load(lambda _, data, **__: data)},
        {"change": validates("name")(lambda *_, **__: None)},
        {"change": validates_schema(lambda *_, **__: None)},
        {"Meta": type("Meta", (Schema.Meta,), {"unknown": "exclude"})},
    ],
)
def test_a_schema_with_hooks_or_options_is_refused(member):
    [name] = member
    with pytest.raises(TypeError, match=f"^Example may only have fields, not {name}$"):
        type("Example", (LenientSchema,), {"name": Words(), **member})()
