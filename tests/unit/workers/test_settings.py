import pytest

from messaging.consuming.subscription import PREFETCH_BATCHES
from messaging.errors import ConfigurationError
from messaging.topology import DELIVERY_LIMIT
from workers.db.ingest.suspect_marks import POISON_ENDS
from workers.settings import IntakeSettings


@pytest.fixture
def environment(monkeypatch):
    monkeypatch.setenv("OM_AMQP_URL", "amqp://user:secret@a/, amqp://user:secret@b/")
    monkeypatch.setenv("OM_DATABASE_URL", "postgresql://user:secret@127.0.0.1/x")
    return monkeypatch


def test_defaults_stand_where_nothing_is_set(environment):
    settings = IntakeSettings.from_environment()

    assert settings.amqp_urls == ("amqp://user:secret@a/", "amqp://user:secret@b/")
    assert (settings.batch_events, settings.batch_seconds) == (100, 0.02)


def test_events_behind_a_whole_prefetch_of_hanging_ones_do_not_reach_the_delivery_limit(environment):
    hanging = PREFETCH_BATCHES * IntakeSettings.from_environment().batch_events
    assert 1 + POISON_ENDS * hanging < DELIVERY_LIMIT


def test_no_secret_is_shown(environment):
    assert "secret" not in repr(IntakeSettings.from_environment())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OM_BATCH_EVENTS", "0"),
        ("OM_BATCH_EVENTS", "many"),
        ("OM_BATCH_EVENTS", "5000"),
        ("OM_BATCH_SECONDS", "-1"),
        ("OM_BATCH_SECONDS", "nan"),
        ("OM_DATABASE_URL", ""),
    ],
)
def test_a_malformed_setting_is_refused_by_name(environment, name, value):
    environment.setenv(name, value)

    with pytest.raises(ConfigurationError, match=name):
        IntakeSettings.from_environment()
