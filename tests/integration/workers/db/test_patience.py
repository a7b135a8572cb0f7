"""A statement in a session without a time limit can run for a long time."""

import pytest
from sqlalchemy import text

from messaging.errors import RetryLaterError
from workers.db.engine import PATIENT_SESSION, WORKER_SESSION, make_engine, prefetch, transact


def run_long(url, session):
    engine = make_engine(url, session)
    try:
        return transact(engine, lambda connection: connection.scalar(text("SELECT 7 FROM pg_sleep(2)")))
    finally:
        engine.dispose()


def test_a_long_statement_is_cut_off_only_in_a_session_of_a_worker(postgres_url, monkeypatch):
    monkeypatch.setattr(prefetch, "ANSWER_SECONDS", 0.3)
    monkeypatch.setattr(prefetch, "PROBE_SECONDS", 0.3)
    assert run_long(postgres_url, PATIENT_SESSION) == 7
    with pytest.raises(RetryLaterError):
        run_long(postgres_url, WORKER_SESSION)
