"""Run the queries in docs/database.md exactly as the page shows them."""

import pytest
from sqlalchemy import create_engine, text

from tests.integration.workers.events import deliver, event, payload_of, routed, said
from tests.questions.filling import TABLES, fill
from tests.questions.page import PAGE, parameters_of, questions

QUESTIONS = questions(PAGE.read_text())
EVENTS = 50_000
"""The number of events, high enough that the planner prefers an index to reading a whole table."""


@pytest.fixture(scope="module")
def month(postgresql, migrated_postgresql):
    """A connection to a database with a month of traffic, and the parameters of the page's queries."""
    with postgresql.make_database(like=migrated_postgresql) as url:
        fill(url, EVENTS)
        engine = create_engine(url)
        with engine.connect() as connection:
            connection.execute(text("SET timezone = 'UTC'"))
            yield connection, parameters_of(connection)
        engine.dispose()


@pytest.fixture
def small(intake, engine):
    """A connection to a database with an example of every kind of row that intake writes."""
    native, receipt = payload_of("genesys/text"), payload_of("genesys/receipt-failed")
    guides = event("new"), said("Hello", after_ms=5), routed("QUEUED", after_ms=9)
    intake(*map(deliver, (*guides, native, receipt, native | {"text": "another"}, b"{")))
    with engine.connect() as connection:
        yield connection, parameters_of(connection)


def test_the_page_numbers_its_questions_from_1_to_30():
    assert [int(question.title.partition(".")[0]) for question in QUESTIONS] == list(range(1, 31))


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.title)
def test_a_question_uses_an_index_unless_it_is_marked_as_reading_a_whole_table(month, question):
    connection, parameters = month
    assert question.ask(connection, parameters)
    assert bool(question.scanned(connection, parameters) & set(TABLES)) == question.reads_all


@pytest.mark.parametrize("migrated_url", ["sqlite"], indirect=True)
def test_portable_questions_also_run_on_sqlite(small):
    connection, parameters = small
    answers = [question.ask(connection, parameters) for question in QUESTIONS if question.is_portable]
    assert len(list(filter(None, answers))) > len(QUESTIONS) // 2
