"""Every role refuses malformed, missing and contradictory settings, and names the setting."""

import pytest

from messaging.consuming.subscription import PREFETCH_BATCHES
from messaging.errors import ConfigurationError
from messaging.topology import DELIVERY_LIMIT
from workers.db.ingest.suspect_marks import POISON_ENDS
from workers.observe import ObserveSettings
from workers.reconcile import ReconcileSettings
from workers.retain import RetainSettings
from workers.settings import DeliverSettings, IntakeSettings, ScaleSettings, SettleSettings

ROLES = (
    IntakeSettings,
    SettleSettings,
    DeliverSettings,
    ReconcileSettings,
    RetainSettings,
    ObserveSettings,
    ScaleSettings,
)

DESTINATIONS = """
[destinations.crm]
url = "https://crm.example/"
secret = "whsec_hiddenhiddenhiddenhiddenhidden"
events = ["openmessaging:receipt"]
"""


@pytest.fixture
def environment(monkeypatch, tmp_path):
    (tmp_path / "destinations.toml").write_text(DESTINATIONS)
    variables = {
        "OM_AMQP_URL": "amqp://user:hidden@a/, amqp://user:hidden@b/",
        "OM_MANAGEMENT_URL": "http://user:hidden@a:15672",
        "OM_DATABASE_URL": "postgresql://user:hidden@127.0.0.1/x",
        "OM_DESTINATIONS": str(tmp_path / "destinations.toml"),
        "OM_GENESYS_REGION": "eu-central-1",
        "OM_GENESYS_CLIENT_ID": "constructed",
        "OM_GENESYS_CLIENT_SECRET": "hidden",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_other_events_stay_below_the_delivery_limit_if_a_prefetch_is_full_of_hanging_events(environment):
    hanging = PREFETCH_BATCHES * IntakeSettings.from_environment().batch_events
    assert 1 + POISON_ENDS * hanging < DELIVERY_LIMIT


@pytest.mark.parametrize("role", ROLES)
def test_no_secret_is_shown_and_no_role_starts_without_a_database(environment, role):
    assert "hidden" not in repr(role.from_environment())
    environment.delenv("OM_DATABASE_URL")
    with pytest.raises(ConfigurationError, match="OM_DATABASE_URL must name the database"):
        role.from_environment()


@pytest.mark.parametrize(
    ("role", "name", "value"),
    [
        (IntakeSettings, "OM_BATCH_EVENTS", "0"),
        (IntakeSettings, "OM_BATCH_EVENTS", "many"),
        (IntakeSettings, "OM_BATCH_EVENTS", "5000"),
        (IntakeSettings, "OM_BATCH_SECONDS", "-1"),
        (IntakeSettings, "OM_BATCH_SECONDS", "nan"),
        (IntakeSettings, "OM_EVENT_FILTER", "no.such.field =="),
        (SettleSettings, "OM_ROUTING_GIVE_UP_SECONDS", "19"),
        (DeliverSettings, "OM_DESTINATIONS", ""),
        (DeliverSettings, "OM_AMQP_URL", ""),
        (DeliverSettings, "OM_FAILED_RECEIPTS", "unknown"),
        (ReconcileSettings, "OM_GENESYS_REGION", ""),
        (RetainSettings, "OM_RETENTION_DAYS", "0"),
        (RetainSettings, "OM_RETENTION_DAYS", "a month"),
        (RetainSettings, "OM_PAYLOAD_RETENTION_DAYS", "-1"),
        (ObserveSettings, "OM_METRICS_BIND", "9464"),
        (ObserveSettings, "OM_METRICS_BIND", "host:port"),
        (ObserveSettings, "OM_AMQP_URL", ""),
        (ScaleSettings, "OM_SCALE_FLOOR", "5"),
        (ScaleSettings, "OM_MANAGEMENT_URL", ""),
    ],
)
def test_the_error_for_a_malformed_setting_names_the_setting(environment, role, name, value):
    environment.setenv(name, value)
    with pytest.raises(ConfigurationError, match=name):
        role.from_environment()
