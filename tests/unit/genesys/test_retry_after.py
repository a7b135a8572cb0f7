from datetime import UTC, datetime

import pytest

from workers.genesys.budget import MAX_PAUSE_SECONDS
from workers.genesys.client import RETRY_SECONDS, read_retry_after

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, RETRY_SECONDS),
        ("soon", RETRY_SECONDS),
        ("nan", RETRY_SECONDS),
        ("30", 30.0),
        ("0", 1.0),
        ("86400", MAX_PAUSE_SECONDS),
        ("inf", MAX_PAUSE_SECONDS),
        ("Thu, 01 Jan 99999999999 12:00:30 GMT", RETRY_SECONDS),
        ("Thu, 01 Jan 2026 12:00:30 +99999999999999", RETRY_SECONDS),
        ("Thu, 01 Jan 2026 12:00:30 GMT", 30.0),
        ("Thu, 01 Jan 2026 11:00:30 GMT", 1.0),
        ("Thu, 01 Jan 2026 13:00:00 GMT", MAX_PAUSE_SECONDS),
    ],
)
def test_retry_after_is_read_as_a_number_or_a_date_and_kept_within_limits(header, seconds):
    assert read_retry_after(header, NOW) == seconds
