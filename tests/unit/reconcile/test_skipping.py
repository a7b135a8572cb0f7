"""A conversation that the platform refuses or fails to return does not delay other conversations."""

import pytest

from messaging.errors import RetryLaterError
from tests.fakes.clock import MovedClock
from workers.db.engine import make_engine
from workers.db.models import metadata, platform_conversations, reconciliations
from workers.genesys import GenesysSettings, PlatformRefusedError, PlatformUnavailableError
from workers.reconcile import DAY_US, Reconciler, ReconcileSettings
from workers.reconcile.platform_history import Overview, PlatformHistory

REFUSED = PlatformRefusedError(403, "missing.division.permission", "an-id")
BAD_INTERVAL = PlatformRefusedError(400, "bad.interval", "an-id")
UNAUTHORISED = PlatformRefusedError(401, "bad.credentials", "an-id")
FAILED = PlatformUnavailableError("500 (inin-correlation-id an-id)", may_have_arrived=True)
LIMITED = PlatformUnavailableError("429 (inin-correlation-id an-id)", delay=30.0)
AWAY = PlatformUnavailableError("ConnectTimeout")


class Told(PlatformHistory):
    """A platform with empty conversations; requests for some of them fail."""

    def __init__(self):
        super().__init__(None)
        self.ids = []
        self.errors = {}
        self.list_error = None
        self.asked = []
        self.listed = []

    def list_conversations(self, from_us, to_us, _page, **_options):
        self.listed.append((from_us, to_us))
        if self.list_error is not None:
            raise self.list_error
        return self.ids, True

    def read_overview(self, conversation_id):
        self.asked.append(conversation_id)
        if conversation_id in self.errors:
            raise self.errors[conversation_id]
        return Overview((), "a-fingerprint", is_ended=False)

    def read_counts(self, _ids):
        return {}

    def read_messages(self, _conversation_id, _message_ids):
        return []


class NoExchange:
    """A broker with empty queues, which fails the test if an event is published."""

    def publish(self, envelopes):
        assert not list(envelopes)

    def count_waiting(self):
        return 0


@pytest.fixture
def history():
    return Told()


@pytest.fixture
def engine(tmp_path):
    engine = make_engine(f"sqlite:///{tmp_path / 'test.sqlite3'}")
    metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def clock():
    return MovedClock()


@pytest.fixture
def reconciler(engine, history, clock):
    genesys = GenesysSettings("https://api.example", "https://login.example", "client", "a-secret")
    settings = ReconcileSettings(genesys=genesys)
    return Reconciler(engine, clock, history, exchange=NoExchange(), settings=settings, holder="one")


def states_of(engine):
    """Return the recorded state and fingerprint of each conversation that was read."""
    was_read = platform_conversations.c.read_at.is_not(None)
    with engine.connect() as connection:
        rows = connection.execute(platform_conversations.select().where(was_read))
        return {row.conversation_id: (row.state, row.fingerprint) for row in rows}


def last(engine):
    with engine.connect() as connection:
        return connection.execute(reconciliations.select().order_by(reconciliations.c.id.desc())).first()


def steps(reconciler, most=30):
    """Take up to *most* steps, until no work is left; return how many steps requested a later retry."""
    waits = 0
    for _ in range(most):
        try:
            if not reconciler.reconcile():
                break
        except RetryLaterError:
            waits += 1
    return waits


READ = ("open", "a-fingerprint")


@pytest.mark.parametrize(
    ("error", "waits"), [(REFUSED, 0), (FAILED, 10), (ValueError("a row that cannot be read"), 0)]
)
def test_ten_failing_conversations_are_retried_and_do_not_delay_other_conversations(  # noqa: PLR0917  # fixtures
    reconciler, history, clock, engine, error, waits
):
    history.ids = [f"c-{number:02}" for number in range(12)]
    faulty = [each for each in history.ids if each not in {"c-03", "c-11"}]
    history.errors = dict.fromkeys(faulty, error)

    assert steps(reconciler) == waits

    row = last(engine)
    assert (row.conversations, row.passed_over, row.finished_at is None) == (2, 10, False)
    read = dict.fromkeys(("c-03", "c-11"), READ)
    assert states_of(engine) == dict.fromkeys(faulty, ("open", None)) | read

    history.errors.clear()
    clock.ahead_us = 3_600_000_000
    steps(reconciler)
    assert (last(engine).conversations, last(engine).passed_over) == (12, 0)
    assert states_of(engine) == dict.fromkeys(history.ids, READ)


@pytest.mark.parametrize("error", [UNAUTHORISED, LIMITED])
def test_no_conversation_is_skipped_because_of_credentials_or_a_limit(reconciler, history, engine, error):
    history.ids = ["c-1", "c-2"]
    history.errors = {"c-1": error}
    # Two of the ten steps read the list and the counts; the other eight request a later retry.
    assert steps(reconciler, 10) == 8
    assert (last(engine).passed_over, states_of(engine)) == (0, {})
    assert "c-2" not in history.asked


@pytest.mark.parametrize("error", [FAILED, AWAY])
@pytest.mark.parametrize("number_of", [2, 12])
def test_no_conversation_is_skipped_in_an_outage(reconciler, history, engine, error, number_of):
    history.ids = [f"c-{number:02}" for number in range(number_of)]
    reconciler.reconcile()
    reconciler.reconcile()
    history.errors, history.list_error = dict.fromkeys(history.ids, error), error
    assert steps(reconciler, 50) == 50
    row = last(engine)
    assert (row.conversations, row.passed_over) == (0, 0)
    history.errors, history.list_error = {}, None
    assert steps(reconciler) == 0
    assert last(engine).conversations == number_of


@pytest.mark.parametrize("list_error", [None, REFUSED, BAD_INTERVAL])
def test_a_failing_conversation_is_skipped_once_the_platform_answers(reconciler, history, engine, list_error):
    history.ids = ["c-1", "c-2", "c-3"]
    reconciler.reconcile()
    history.listed.clear()
    history.errors, history.list_error = {"c-3": FAILED}, list_error

    assert steps(reconciler) == 1

    row = last(engine)
    assert (row.conversations, row.passed_over, row.finished_at is None) == (2, 1, False)
    # The platform refuses a query that spans many days, so the query spans less than a day.
    [(from_us, to_us)] = history.listed
    assert 0 < to_us - from_us < DAY_US


def test_no_conversation_is_skipped_after_a_single_failure(reconciler, history, engine):
    history.ids = [f"c-{number}" for number in range(4)]
    failing = ["c-1", "c-3"]

    def read_overview(conversation_id):
        if conversation_id in failing:
            failing.remove(conversation_id)
            raise FAILED
        return Overview((), "a-fingerprint", is_ended=False)

    history.read_overview = read_overview
    assert steps(reconciler) == 2
    assert (last(engine).conversations, last(engine).passed_over) == (4, 0)
