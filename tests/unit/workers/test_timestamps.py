import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.parsing.timestamps import microseconds_of, moment_of, parse_timestamp

MICROSECONDS = st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999)


@given(MICROSECONDS)
def test_an_instant_survives_the_way_there_and_back(microseconds):
    assert microseconds_of(moment_of(microseconds)) == microseconds


@pytest.mark.parametrize(
    "text", ["1969-12-31T23:59:59Z", "2300-01-01T00:00:00Z", "9999-12-31T23:59:59-12:00"]
)
def test_a_timestamp_that_a_database_could_not_keep_exactly_is_refused(text):
    with pytest.raises(ValueError, match="range"):
        parse_timestamp(text)
