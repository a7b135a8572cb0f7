import pytest

from workers.parsing.drift import (
    MAX_NAMES,
    MORE,
    NOT_SHOWN,
    OFTEN,
    UNKNOWN_FIELD,
    UNKNOWN_VALUE,
    WRITE_SECONDS,
    WRONG_TYPE,
)


def field(notes, name, path="", event_type="message", value=None):
    notes.note_field(UNKNOWN_FIELD, path, name, event_type, value)


def names(notes):
    return {drift.name for drift in notes.pending()}


def test_an_unknown_name_is_pending_until_it_is_recorded_and_then_counted_at_intervals(notes):
    field(notes, "a")
    field(notes, "a")
    [news] = notes.pending(0.0)
    assert (news.name, news.count) == ("a", 2)
    field(notes, "a")

    notes.mark_recorded([news], 100.0)
    field(notes, "a")

    assert notes.pending(100.0 + WRITE_SECONDS - 0.1) == []
    [known] = notes.pending(100.0 + WRITE_SECONDS)
    assert known.count == 2
    notes.mark_recorded([known], 200.0)
    assert notes.pending() == []
    field(notes, "b")
    assert [drift.name for drift in notes.pending(200.0)] == ["b"]


@pytest.mark.parametrize(
    ("value", "shape"),
    [
        (None, "null"),
        (True, "boolean"),
        (4930123456, "number"),
        (0.5, "number"),
        ("Jane Doe", "string(8)"),
        (["Jane", "Doe"], "array(2)"),
        ({"Jane": "Doe"}, "object(1)"),
    ],
)
def test_only_the_shape_of_a_value_is_kept_and_not_its_content(notes, value, shape):
    """Guarantee 6.2."""
    field(notes, "a", value=value)
    assert [drift.sample for drift in notes.pending()] == [shape]


@pytest.mark.parametrize(("value", "sample"), [("Recalled", "Recalled"), ("Jane Doe", "string(8)")])
def test_an_unknown_enum_value_is_shown_as_its_own_sample_only_if_it_is_a_word(notes, value, sample):
    notes.note_value("status", value, "receipt", is_closed=True)
    assert [drift.sample for drift in notes.pending()] == [sample]


def test_the_same_name_with_another_kind_of_drift_is_listed_separately(notes):
    field(notes, "a")
    notes.note_field(WRONG_TYPE, "", "a", "message", 1)
    assert len(notes.pending()) == 2


def test_random_names_hide_new_names_only_in_their_own_place_and_are_logged_once(notes, capsys):
    for number in range(20_000):
        field(notes, f"customer-{number}", "message.")
    assert capsys.readouterr().out.count("drift_crowded") == 1
    field(notes, "newField", "channel.")
    field(notes, "newField")
    field(notes, "newField", "message.", "updated")
    assert {"channel.newField", "newField", "message.newField", f"message.{MORE}"} <= names(notes)
    assert len(notes.pending()) <= MAX_NAMES + 4


def test_a_frequent_name_is_noted_in_a_place_full_of_random_names(notes):
    for number in range(MAX_NAMES):
        field(notes, f"customer-{number}", "message.")
    for number in range(OFTEN):
        assert "message.newField" not in names(notes)
        for other in range(99):
            field(notes, f"customer-{number}-{other}", "message.")
        field(notes, "newField", "message.")
    assert "message.newField" in names(notes)


@pytest.mark.parametrize(
    "name", ["Jane Doe", "jane.doe@example.com", "é", "a" * 65, "", "+49 30 1234", "1st"]
)
def test_a_name_that_is_not_an_identifier_is_not_shown(notes, name):
    field(notes, name, "message.")
    assert names(notes) == {f"message.{NOT_SHOWN}"}


@pytest.mark.parametrize(
    ("is_closed", "value"),
    [(True, value) for value in ("Jane Doe", "jane.doe@example.com", "a1", "x" * 41, "\ud800", "")]
    + [(False, value) for value in ("Jane", "Joan")],
)
def test_a_value_is_shown_only_if_it_looks_like_a_word_of_a_closed_list(notes, value, is_closed):
    notes.note_value("status", value, "receipt", is_closed=is_closed)
    assert [(drift.kind, drift.name) for drift in notes.pending()] == [(UNKNOWN_VALUE, f"status={NOT_SHOWN}")]
