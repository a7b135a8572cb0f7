"""Every refusal is counted; of an attack a few lines a second are logged, with how many were left out."""

from collections import Counter

from structlog.testing import capture_logs

from tests.unit.webhook_api.fakes import FakeClock
from webhook_api.ingest import TOO_LARGE, UNAUTHORIZED
from webhook_api.statistics import LINES_PER_SECOND, Refusals


def test_of_a_flood_a_few_lines_a_second_are_left_and_the_next_says_how_many_were_not():
    clock, counts = FakeClock(), Counter()
    refusals = Refusals(clock, counts)
    with capture_logs() as lines:
        for _ in range(1000):
            refusals.record(UNAUTHORIZED, "signature missing")
        clock.seconds += 1
        refusals.record(UNAUTHORIZED, "signature missing")

    assert len(lines) == LINES_PER_SECOND + 1
    assert lines[-1]["left_out"] == 1000 - LINES_PER_SECOND
    assert counts == {"401": 1001}


def test_a_flood_of_one_kind_hides_no_other():
    refusals = Refusals(FakeClock(), Counter())
    with capture_logs() as lines:
        for _ in range(100):
            refusals.record(UNAUTHORIZED, "signature missing")
        refusals.record(TOO_LARGE, request_id="r-1")

    assert lines[-1] == {
        "event": "webhook_refused",
        "log_level": "warning",
        "status": 413,
        "reason": "body too large",
        "request_id": "r-1",
    }


def test_every_refusal_of_a_webhook_is_counted_by_its_status(stand):
    stand.post(b"{}", HTTP_X_HUB_SIGNATURE_256="sha256=none")
    stand.post(b"x" * 3000)
    stand.post(b"")
    stand.shed()
    stand.post()
    assert stand.status()["refused"] == {"401": 1, "413": 1, "400": 1, "429": 1}
