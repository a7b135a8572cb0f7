from hypothesis import given
from hypothesis import strategies as st

from workers.timestamps import microseconds_of, moment_of, stored_text

MICROSECONDS = st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999)


@given(MICROSECONDS)
def test_an_instant_survives_the_way_there_and_back(microseconds):
    assert microseconds_of(moment_of(microseconds)) == microseconds


@given(MICROSECONDS, MICROSECONDS)
def test_stored_texts_sort_as_their_instants(first, second):
    assert (stored_text(first) < stored_text(second)) == (first < second)


@given(MICROSECONDS)
def test_stored_texts_have_one_width(microseconds):
    assert len(stored_text(microseconds)) == 26
