"""Only agents' messages get a failed receipt, and the outcome of sending it is recorded."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from messaging.clock import SystemClock
from messaging.errors import RetryLaterError
from tests.fakes.clock import MovedClock
from workers.db.engine import make_engine
from workers.db.models import event_payloads, failed_receipts, metadata
from workers.genesys import FailedReceipts, PlatformBusyError, PlatformRefusedError, PlatformUnavailableError
from workers.genesys.failed_receipts import make_receipt
from workers.parsing import moment_of

BODY = (Path(__file__).parents[2] / "payloads" / "genesys" / "text.json").read_bytes()
TEXT = json.loads(BODY)
ID = TEXT["id"]
HOUR_US = 3_600_000_000


class Client:
    """A platform that raises the given errors first and then accepts receipts."""

    def __init__(self):
        self.errors = []
        self.taken = []
        self.before = lambda: None

    def send(self, _method, _path, content):
        self.before()
        if self.errors:
            raise self.errors.pop(0)
        self.taken.append(content["id"])


@pytest.fixture
def engine(tmp_path):
    engine = make_engine(f"sqlite:///{tmp_path / 'test.sqlite3'}")
    metadata.create_all(engine)
    now = moment_of(SystemClock().now_us())
    with engine.begin() as connection:
        connection.execute(event_payloads.insert(), {"event_id": 1, "stored_at": now, "body": BODY})
        owed = {"event_id": 1, "destination": "content", "reason": "422", "due_at": now, "attempts": 0}
        connection.execute(failed_receipts.insert(), owed)
    yield engine
    engine.dispose()


@pytest.fixture
def client():
    return Client()


@pytest.fixture
def clock():
    return MovedClock()


@pytest.fixture
def receipts(engine, client, clock):
    return FailedReceipts(engine, clock, {"content"}, client)


@pytest.fixture
def outcome(engine):
    def read():
        with engine.connect() as connection:
            columns = "outcome, begun_at IS NULL AS is_due, attempts"
            return connection.execute(text(f"SELECT {columns} FROM failed_receipts")).one()  # noqa: S608

    return read


@pytest.mark.parametrize(
    ("error", "final", "attempts"),
    [
        (PlatformUnavailableError("429"), "sent", 1),
        (PlatformBusyError("none left", delay=30.0), "sent", 0),
        (PlatformRefusedError(401, "bad.credentials", "an-id"), "sent", 1),
        (PlatformRefusedError(400, "invalid_request", "none", at_login=True), "sent", 1),
        (RetryLaterError("OperationalError"), "sent", 0),
        (PlatformUnavailableError("ReadTimeout", may_have_arrived=True), "unknown", 1),
        (PlatformRefusedError(400, "bad.request", "an-id"), "refused", 1),
    ],
)
def test_only_a_receipt_that_certainly_had_no_effect_is_sent_again(  # noqa: PLR0917  # fixtures
    receipts, client, clock, outcome, error, final, attempts
):
    client.errors = [error]
    assert receipts.send_failed_receipts() == 1
    assert tuple(outcome()) == (*((None, True) if final == "sent" else (final, False)), attempts)
    clock.ahead_us = HOUR_US
    assert receipts.send_failed_receipts() == (final == "sent")
    assert outcome().outcome == final
    assert client.taken == [ID] * (final == "sent")


def test_a_receipt_whose_process_ended_has_an_unknown_outcome(receipts, client, clock, outcome):
    client.errors = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        receipts.send_failed_receipts()
    clock.ahead_us = HOUR_US
    assert receipts.send_failed_receipts() == 0
    assert (outcome().outcome, client.taken) == ("unknown", [])


@pytest.mark.parametrize("errors", [[], [RetryLaterError("OperationalError")]])
def test_the_result_of_a_receipt_is_recorded_once_the_database_is_back(  # noqa: PLR0917  # fixtures
    receipts, client, clock, engine, outcome, errors
):
    client.errors = list(errors)
    client.before = lambda: rename(engine, "failed_receipts", "away")
    for _ in range(2):
        with pytest.raises(RetryLaterError):
            receipts.send_failed_receipts()
    client.before = lambda: None
    rename(engine, "away", "failed_receipts")

    receipts.send_failed_receipts()
    clock.ahead_us = HOUR_US
    receipts.send_failed_receipts()

    assert outcome().outcome == "sent"
    assert client.taken == [ID]


def rename(engine, old, new):
    with engine.begin() as connection:
        connection.exec_driver_sql(f"ALTER TABLE {old} RENAME TO {new}")


NOW = datetime(2025, 6, 10, 21, 3, 5, 427_123, tzinfo=UTC)


def receipt_of(status=422, reason="422", **changes):
    return make_receipt(json.dumps(TEXT | changes).encode(), status, reason, NOW)


def test_a_body_without_an_agents_message_has_no_receipt():
    channels = {"id": "i", "to": {}}, {"to": {"id": "c"}}
    others = {"direction": "Inbound"}, {"type": "Receipt"}, {"id": None}
    bodies = [json.dumps(TEXT | changes).encode() for changes in others]
    bodies += [json.dumps(TEXT | {"channel": channel}).encode() for channel in channels]
    for body in (*bodies, b"", b"[]", b'{"eventType":"x"}'):
        assert make_receipt(body, 422, "422", NOW) is None


@pytest.mark.parametrize(
    ("status", "code"),
    [(422, "GeneralError"), (429, "RateLimited"), (503, "ServerError"), (None, "ServerError")],
)
def test_a_receipt_has_the_platforms_code_for_the_reason(status, code):
    _, receipt = receipt_of(status, status and str(status))
    assert [given["code"] for given in receipt["reasons"]] == [code]
    assert receipt["channel"]["time"] == "2025-06-10T21:03:05.427Z"


def test_a_receipt_omits_the_recipients_name_and_encodes_the_integration_id():
    to = {"id": "c", "idType": "Email", "nickname": "Jane"}
    path, receipt = receipt_of(channel=TEXT["channel"] | {"id": "../x", "to": to})
    assert receipt["channel"]["to"] == {"id": "c", "idType": "Email"}
    assert path.startswith("/api/v2/conversations/messages/..%2Fx/")
    # Half an emoji is replaced.
    path, _ = receipt_of(channel=TEXT["channel"] | {"id": "a\ud83d", "to": {"id": "c"}})
    assert path.startswith("/api/v2/conversations/messages/a%3F/")
