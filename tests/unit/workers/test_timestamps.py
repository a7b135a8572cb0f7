from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.parsing.timestamps import canonical_text, microseconds_of, moment_of, parse_timestamp

MICROSECONDS = st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999)


@given(MICROSECONDS)
def test_a_time_survives_conversion_to_microseconds_and_back(microseconds):
    assert microseconds_of(moment_of(microseconds)) == microseconds


@pytest.mark.parametrize(
    ("text", "usual"),
    [
        ("2024-05-15t14:32:10z", "2024-05-15T14:32:10Z"),
        ("2024-05-15T14:32:10z", "2024-05-15T14:32:10Z"),
        ("2024-05-15 14:32:10Z", "2024-05-15T14:32:10Z"),
        ("2024-05-15T14:32:10.000000+00:00", "2024-05-15T14:32:10Z"),
        ("2024-05-15t16:32:10.25+02:00", "2024-05-15T14:32:10.250Z"),
        ("2024-05-15T14:32:10.1z", "2024-05-15T14:32:10.100Z"),
        ("2024-05-15T14:32:10.123456789012345678901234Z", "2024-05-15T14:32:10.123456Z"),
        ("2024-05-15T14:32:10-00:00", "2024-05-15T14:32:10Z"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"),
        ("2016-12-31T23:59:60.5z", "2017-01-01T00:00:00.5Z"),
        ("1990-12-31T15:59:60-08:00", "1991-01-01T00:00:00Z"),
    ],
)
def test_every_rfc_3339_timestamp_is_read(text, usual):
    assert parse_timestamp(text) == datetime.fromisoformat(usual)


OUT_OF_RANGE = (
    "1969-12-31T23:59:59Z",
    "2300-01-01T00:00:00Z",
    "9999-12-31T23:59:59-12:00",
    "9999-12-31T23:59:60Z",
)
NO_INSTANT = ("2024-05-15T14:32:61Z", "2024-05-15T14:60:00Z", "2024-05-15T14:32:10", "60", "T60", "")


@pytest.mark.parametrize(
    ("text", "reason"), [*((text, "range") for text in OUT_OF_RANGE), *((text, ".") for text in NO_INSTANT)]
)
def test_a_timestamp_that_is_malformed_or_out_of_range_is_refused(text, reason):
    with pytest.raises(ValueError, match=reason):
        parse_timestamp(text)


@pytest.mark.parametrize("microseconds", [0, 1, 999_999, 1_000_000, 1_715_783_530_123_456, 2**53])
def test_a_time_has_one_canonical_text_with_microseconds(microseconds):
    usual = moment_of(microseconds).isoformat(timespec="microseconds")
    assert canonical_text(microseconds) == usual.replace("+00:00", "Z")
