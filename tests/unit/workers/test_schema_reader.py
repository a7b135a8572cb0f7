"""A schema refuses every feature of marshmallow that its reader does not honour."""

import pytest
from marshmallow import fields, validate

from workers.parsing.schema_reader import LenientSchema, Words


def schema_with(field):
    return type("Example", (LenientSchema,), {"name": field})()


@pytest.mark.parametrize(
    "option", [{"validate": validate.Length(max=3)}, {"load_default": "x"}, {"allow_none": True}]
)
def test_a_field_refuses_options_that_the_reader_ignores(option):
    with pytest.raises(TypeError):
        Words(**option)


def test_a_schema_with_any_other_field_is_refused():
    with pytest.raises(TypeError, match=r"Example\.name is not a Checked field"):
        schema_with(fields.String())
