from datetime import UTC, datetime

import pytest

from workers.genesys.client import MAX_RETRY_AFTER, RETRY_SECONDS, read_retry_after

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, RETRY_SECONDS),
        ("soon", RETRY_SECONDS),
        ("nan", RETRY_SECONDS),
        ("30", 30.0),
        ("0", 1.0),
        ("86400", MAX_RETRY_AFTER),
        ("inf", MAX_RETRY_AFTER),
        ("Thu, 01 Jan 2026 12:00:30 GMT", 30.0),
        ("Thu, 01 Jan 2026 11:00:30 GMT", 1.0),
        ("Thu, 01 Jan 2026 13:00:00 GMT", MAX_RETRY_AFTER),
    ],
)
def test_retry_after_is_a_number_or_a_date_within_limits(header, seconds):
    assert read_retry_after(header, NOW) == seconds
