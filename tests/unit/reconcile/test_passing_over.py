"""A conversation that the platform refuses, or never answers for, holds up no other one."""

import threading

import pytest

from messaging.clock import SystemClock
from messaging.errors import RetryLaterError
from workers.genesys import GenesysSettings, PlatformRefusedError, PlatformUnavailableError
from workers.reconcile import DAY_US, Checker, Comparer, Reconciler, ReconcileSettings
from workers.reconcile.platform_history import Overview
from workers.reconcile.reconciler import CONVERSATIONS_AT_ONCE
from workers.reconcile.unanswered import TRIES
from workers.tables import engine_of, reconciliations
from workers.tables.models import metadata, platform_conversations

REFUSED = PlatformRefusedError(403, "missing.division.permission", "an-id")
BAD_INTERVAL = PlatformRefusedError(400, "bad.interval", "an-id")
UNAUTHORISED = PlatformRefusedError(401, "bad.credentials", "an-id")
FAILED = PlatformUnavailableError("500 (inin-correlation-id an-id)", may_have_arrived=True)
AWAY = PlatformUnavailableError("ConnectTimeout")


class Told:
    """A platform whose conversations hold nothing, but for the errors that it is told to answer with."""

    def __init__(self):
        self.ids = []
        self.errors = {}
        self.list_error = None
        self.asked = []
        self.listed = []
        self.stopped = threading.Event()
        self.stops_at = None

    def conversations(self, from_us, to_us, _page):
        self.listed.append((from_us, to_us))
        if self.list_error is not None:
            raise self.list_error
        return self.ids, True

    def overview(self, conversation_id):
        self.asked.append(conversation_id)
        if conversation_id == self.stops_at:
            self.stopped.set()
        if conversation_id in self.errors:
            raise self.errors[conversation_id]
        return Overview((), "a-fingerprint", is_ended=False)

    def messages(self, _conversation_id, _message_ids):
        return iter(())


class NoExchange:
    """A broker to which nothing is published, and in which nothing waits."""

    def publish(self, envelopes):
        assert not list(envelopes)

    def waiting(self):
        return 0


class MovableClock(SystemClock):
    ahead_us = 0

    def now_us(self):
        return super().now_us() + self.ahead_us


@pytest.fixture
def history():
    return Told()


@pytest.fixture
def engine(tmp_path):
    engine = engine_of(f"sqlite:///{tmp_path / 'test.sqlite3'}")
    metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def clock():
    return MovableClock()


@pytest.fixture
def reconciler(engine, history, clock):
    genesys = GenesysSettings("https://api.example", "https://login.example", "client", "a-secret")
    checker = Checker(engine, history, receipts=True)
    comparer = Comparer(engine, clock, checker, NoExchange(), holder="one", again=False)
    settings = ReconcileSettings(genesys, (), "")
    return Reconciler(
        engine,
        clock,
        history,
        comparer,
        exchange=NoExchange(),
        settings=settings,
        holder="one",
        is_stopped=history.stopped.is_set,
    )


@pytest.fixture
def conversations(engine):
    """Return what is on record: each conversation's state and fingerprint."""

    def read():
        columns = platform_conversations.c
        with engine.connect() as connection:
            rows = connection.execute(platform_conversations.select().where(columns.read_at.is_not(None)))
            return {row.conversation_id: (row.state, row.fingerprint) for row in rows}

    return read


@pytest.fixture
def comparison(engine):
    """Return the last comparison's row."""

    def read():
        with engine.connect() as connection:
            return connection.execute(reconciliations.select().order_by(reconciliations.c.id.desc())).first()

    return read


def steps(reconciler, most=30):
    """Take steps, patiently, until nothing is to do; return how often it had to wait."""
    waits = 0
    for _ in range(most):
        try:
            if not reconciler.reconcile():
                break
        except RetryLaterError:
            waits += 1
    return waits


READ = ("open", "a-fingerprint")


def test_conversations_that_the_platform_refuses_are_passed_over_and_asked_for_again(
    reconciler, history, clock, conversations, comparison
):
    history.ids = [f"c-{number:02}" for number in range(12)]
    refused = [each for each in history.ids if each not in {"c-03", "c-11"}]
    history.errors = dict.fromkeys(refused, REFUSED)

    assert steps(reconciler) == 0

    row = comparison()
    assert (row.conversations, row.passed_over) == (2, 10)
    assert (row.read_through, row.finished_at is None) == ("c-11", False)
    assert conversations() == dict.fromkeys(refused, ("open", None)) | {"c-03": READ, "c-11": READ}

    history.errors.clear()
    clock.ahead_us = 3_600_000_000
    steps(reconciler)
    assert (comparison().conversations, comparison().passed_over) == (12, 0)
    assert conversations() == dict.fromkeys(history.ids, READ)


def test_a_comparison_that_compared_nothing_ends_and_tells_how_many_it_passed_over(
    reconciler, history, comparison
):
    history.ids = [f"c-{number:02}" for number in range(12)]
    history.errors = dict.fromkeys(history.ids, REFUSED)

    assert steps(reconciler) == 0

    row = comparison()
    assert (row.conversations, row.passed_over, row.finished_at is None) == (0, 12, False)


def test_refused_credentials_are_no_word_on_a_conversation(reconciler, history, conversations, comparison):
    history.ids = ["c-1", "c-2"]
    history.errors = {"c-1": UNAUTHORISED}

    assert steps(reconciler, 10) == 9

    assert comparison().read_through == ""
    assert conversations() == {}


def test_a_conversation_without_an_answer_is_passed_over_once_a_later_one_has_one(
    reconciler, history, clock, conversations, comparison
):
    history.ids = [f"c-{number:02}" for number in range(12)]
    history.errors = {"c-03": FAILED, "c-04": FAILED}

    assert steps(reconciler) == 2 * (TRIES - 1)

    row = comparison()
    assert (row.conversations, row.passed_over, row.finished_at is None) == (10, 2, False)
    assert {"c-03", "c-04"}.isdisjoint(conversations())

    history.errors.clear()
    clock.ahead_us = 3_600_000_000
    steps(reconciler)
    assert (comparison().conversations, comparison().passed_over) == (12, 0)


@pytest.mark.parametrize("error", [FAILED, AWAY])
@pytest.mark.parametrize("number_of", [2, CONVERSATIONS_AT_ONCE, 12])
def test_a_platform_that_is_away_passes_over_nothing(reconciler, history, comparison, error, number_of):
    history.ids = [f"c-{number:02}" for number in range(number_of)]
    reconciler.reconcile()
    history.errors, history.list_error = dict.fromkeys(history.ids, error), error

    assert steps(reconciler, 50) == 50

    row = comparison()
    assert (row.conversations, row.passed_over, row.read_through) == (0, 0, "")
    history.errors, history.list_error = {}, None
    assert steps(reconciler) == 0
    assert comparison().conversations == number_of


def test_five_without_an_answer_are_no_conversations_own_whatever_the_list_answers(
    reconciler, history, comparison
):
    history.ids = [f"c-{number:02}" for number in range(12)]
    history.errors = dict.fromkeys(history.ids, FAILED)

    assert steps(reconciler, 50) == 49

    row = comparison()
    assert (row.conversations, row.passed_over, row.read_through) == (0, 0, "")


@pytest.mark.parametrize("list_error", [None, REFUSED, BAD_INTERVAL])
def test_the_last_ones_are_passed_over_once_the_platform_answers_anything(
    reconciler, history, comparison, list_error
):
    history.ids = ["c-1", "c-2", "c-3"]
    reconciler.reconcile()
    history.listed.clear()
    history.errors, history.list_error = {"c-2": FAILED, "c-3": FAILED}, list_error

    assert steps(reconciler) == 2 * (TRIES - 1)

    row = comparison()
    assert (row.conversations, row.passed_over, row.finished_at is None) == (1, 2, False)
    # However far back is compared, the platform is asked for no longer than it allows.
    [(from_us, to_us)] = history.listed
    assert to_us - from_us == DAY_US


def test_refused_credentials_do_not_pass_over_the_last_one(reconciler, history, comparison):
    history.ids = ["c-1", "c-2"]
    reconciler.reconcile()
    history.errors, history.list_error = {"c-2": FAILED}, UNAUTHORISED

    assert steps(reconciler, 10) == 10

    assert comparison().read_through == "c-1"


@pytest.mark.parametrize("number_of", [2, CONVERSATIONS_AT_ONCE])
def test_a_stop_is_heeded_between_two_conversations_and_passes_over_nothing(
    reconciler, history, comparison, number_of
):
    history.ids = [f"c-{number:02}" for number in range(number_of)]
    reconciler.reconcile()
    history.errors, history.list_error = dict.fromkeys(history.ids, FAILED), FAILED
    steps(reconciler, number_of * TRIES)
    history.asked.clear()
    reconciler_asks_all(reconciler, history)

    history.stops_at, history.list_error = "c-00", None
    with pytest.raises(RetryLaterError):
        reconciler.reconcile()

    assert history.asked == ["c-00"]
    assert comparison().read_through == ""


def reconciler_asks_all(reconciler, history):
    """Take a step that asks for each conversation, as the platform may be away."""
    with pytest.raises(RetryLaterError):
        reconciler.reconcile()
    assert history.asked == history.ids
    history.asked.clear()


def test_a_limit_that_is_met_is_no_conversations_own(reconciler, history, comparison):
    history.ids = ["c-1", "c-2"]
    history.errors = {"c-1": PlatformUnavailableError("429 (inin-correlation-id an-id)", delay=30.0)}

    assert steps(reconciler, 20) == 19

    assert "c-2" not in history.asked
    assert comparison().read_through == ""
