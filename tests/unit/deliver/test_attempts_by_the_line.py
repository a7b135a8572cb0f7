"""Where OM_ACCESS_LOG asks for it, each attempt to deliver is one line, which holds nothing of the event."""

from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from messaging.clock import SystemClock
from workers.deliver.attempts import Attempt
from workers.deliver.deliverer import Deliverer
from workers.deliver.deliveries import Taken
from workers.deliver.destinations import Destination
from workers.deliver.judgement import Answer, End
from workers.deliver.message import Message

CRM = Destination("crm", "https://crm.example/", ("whsec_c2VjcmV0",), ())
MESSAGE = Message(7, "c", "t", datetime.now(tz=UTC), 0, late=False, verified=None, payload=b"words")


@pytest.mark.parametrize(("asked", "lines"), [(True, ["delivery_attempted"]), (False, [])])
def test_an_attempt_is_a_line_where_that_is_asked_for(asked, lines):
    deliverer = Deliverer(None, SystemClock(), [CRM], logs_attempts=asked)
    taken = Taken(MESSAGE, attempts=0, first_attempt_us=None, lease_us=0)
    attempt = Attempt(CRM, taken, Answer(204, "204"), End.DELIVERED, 0, 0, (7,), is_last=True, took_us=12_500)
    with capture_logs() as logged:
        deliverer._note(attempt)

    assert [line["event"] for line in logged] == lines
    assert all((line["status"], line["outbox_id"], line["ms"]) == (204, 7, 12.5) for line in logged)
    assert "words" not in str(logged)
