"""The reader of schemas refuses every feature of marshmallow that it does not honour."""

import pytest
from marshmallow import INCLUDE, fields, post_load, pre_load, validate, validates, validates_schema

from workers.parsing.fields import Words
from workers.parsing.schema_reader import LenientSchema, SchemaReader


class WithPreLoad(LenientSchema):
    name = Words()

    @pre_load
    def lower(self, data, **_):
        return data


class WithPostLoad(LenientSchema):
    @post_load
    def build(self, data, **_):
        return data


class WithFieldValidator(LenientSchema):
    name = Words()

    @validates("name")
    def check(self, value, **_):
        return value


class WithSchemaValidator(LenientSchema):
    @validates_schema
    def check(self, data, **_):
        return data


def schema_with(field):
    return type("Example", (LenientSchema,), {"name": field})()


@pytest.mark.parametrize(
    ("schema", "feature"),
    [
        (WithPreLoad(), "lower"),
        (WithPostLoad(), "build"),
        (WithFieldValidator(), "check"),
        (WithSchemaValidator(), "check"),
        (LenientSchema(many=True), "many"),
        (LenientSchema(partial=True), "partial"),
        (LenientSchema(unknown=INCLUDE), "unknown"),
        (schema_with(Words(validate=validate.Length(max=3))), "validate of name"),
        (schema_with(Words(load_default="x")), "load_default of name"),
        (schema_with(Words(allow_none=True)), "allow_none of name"),
        (schema_with(Words(attribute="other")), "attribute of name"),
        (schema_with(fields.Constant("x")), "load_default of name"),
    ],
)
def test_a_schema_with_a_feature_that_the_reader_does_not_honour_is_refused(schema, feature):
    with pytest.raises(TypeError, match=f"does not honour .*{feature}"):
        SchemaReader(schema)


def test_fields_with_names_and_metadata_of_their_own_are_honoured():
    schema = schema_with(Words(data_key="Name", required=True, metadata={"known": frozenset({"x"})}))
    assert SchemaReader(schema).read({"Name": "x"}, None, "any") == {"name": "x"}
