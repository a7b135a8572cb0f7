from workers.parsing.drift import LONGEST_NAME, MOST_NAMES, UNKNOWN_FIELD


def test_a_name_is_pending_until_it_is_recorded_and_then_known(notes):
    notes.note(UNKNOWN_FIELD, "a", "message")
    pending = notes.pending()
    assert [drift.name for drift in notes.pending()] == ["a"]

    notes.mark_recorded(pending)
    notes.note(UNKNOWN_FIELD, "a", "message")

    assert notes.pending() == []


def test_a_name_of_another_kind_is_another_name(notes):
    notes.note(UNKNOWN_FIELD, "a", "message")
    notes.note("wrong_type", "a", "message")

    assert len(notes.pending()) == 2


def test_names_are_bounded_in_length_and_number(notes):
    for number in range(MOST_NAMES + 5):
        notes.note(UNKNOWN_FIELD, f"{number}-" + "x" * 500, "message")

    assert len(notes.pending()) == MOST_NAMES
    assert max(len(drift.name) for drift in notes.pending()) == LONGEST_NAME
