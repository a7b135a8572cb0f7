"""The scale role starts and stops settle and deliver processes according to their due work in SQL."""

import sys
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert

from messaging.clock import SystemClock
from tests.integration.workers.conftest import ON_POSTGRESQL
from tests.integration.workers.operating import fast_scaler
from tests.rows import make_row
from tests.servers import ServerProcess
from tests.services import Service, running
from workers.db.models import conversations, deliveries, destinations
from workers.scale.scaler import count_due_conversations, count_due_deliveries

SYSTEMCTL = """#!/bin/sh
# As systemd: a unit that was started is listed until it is stopped.
verb=$2  # after --no-ask-password
for unit in "$@"; do :; done
case $verb in
    list-units) cd "$UNITS" && ls | grep "^${unit%%\\**}" ;;
    start) touch "$UNITS/$unit" ;;
    stop) rm "$UNITS/$unit" ;;
esac
exit 0
"""
NOW = datetime.now(UTC)
DUE, LATER = NOW - timedelta(minutes=1), NOW + timedelta(hours=1)


def conversation(number, closes_at=DUE):
    window = {"window_opened_at": DUE, "window_closes_at": closes_at}
    return make_row(conversations, conversation_id=f"c-{number}", status="implied", **window)


def delivery(number, destination, due_at=DUE, outcome=None):
    return make_row(deliveries, outbox_id=number, destination=destination, due_at=due_at, outcome=outcome)


def fill(engine, *, due, destination="crm"):
    with engine.begin() as connection:
        connection.execute(insert(conversations), [conversation(number) for number in range(due)])
        connection.execute(insert(destinations).values(name=destination, registered_at=DUE))
        connection.execute(insert(deliveries), [delivery(number, destination) for number in range(due)])


def test_only_due_windows_and_the_due_deliveries_of_the_busiest_destination_are_counted(engine):
    fill(engine, due=20)
    with engine.begin() as connection:
        connection.execute(insert(conversations).values(conversation("open", LATER)))
        connection.execute(
            insert(destinations),
            [
                {"name": "analytics", "registered_at": DUE, "paused_at": None},
                {"name": "paused", "registered_at": DUE, "paused_at": DUE},
            ],
        )
        rows = [delivery(number, "paused") for number in range(50)]
        rows += [delivery(number, "analytics") for number in range(5)]
        rows += [delivery(98, "crm", LATER), delivery(99, "crm", outcome="delivered")]
        connection.execute(insert(deliveries), rows)
        now_us = SystemClock().now_us()
        assert count_due_conversations(connection, now_us, 1000) == 20
        assert count_due_deliveries(connection, now_us, 1000) == 20
        assert count_due_deliveries(connection, now_us, 7) == 7


@pytest.fixture
def units(tmp_path):
    """The directory in which a fake systemctl keeps a file for each running unit."""
    directory = tmp_path / "units"
    directory.mkdir()
    program = tmp_path / "bin" / "systemctl"
    program.parent.mkdir()
    program.write_text(SYSTEMCTL)
    program.chmod(0o755)
    return directory


@ON_POSTGRESQL
def test_settle_and_deliver_are_scaled_between_the_floor_and_the_ceiling(  # noqa: PLR0917  # fixtures
    vhost, rabbitmq, migrated_url, engine, units, tmp_path
):
    fill(engine, due=1200)
    (tmp_path / "destinations.toml").touch()
    settings = {
        "OM_DATABASE_URL": migrated_url,
        "OM_DESTINATIONS": str(tmp_path / "destinations.toml"),
        "OM_SCALE_CEILING": "4",
        "UNITS": str(units),
    }
    service = Service(tmp_path, vhost.amqp_url, rabbitmq.management_url, settings)
    environment = service.environment()
    environment["PATH"] = f"{units.parent / 'bin'}:{environment['PATH']}"
    role = ServerProcess("scale", tmp_path / "scale.log")

    def running_units():
        return sorted(path.name.removesuffix(".service") for path in units.iterdir())

    with running(role):
        role.launch([sys.executable, fast_scaler.__file__], environment=environment, directory=tmp_path)
        role.wait_until(
            lambda: (
                running_units()
                == [f"om-deliver@{n}" for n in (1, 2, 3, 4)]
                + [f"om-settle@{n}" for n in (1, 2, 3)]
                + ["om-worker@1"]
            ),
            timeout=30.0,
        )
        with engine.begin() as connection:
            connection.execute(conversations.update().values(window_opened_at=None))
            connection.execute(deliveries.update().values(outcome="delivered"))
        role.wait_until(
            lambda: running_units() == ["om-deliver@1", "om-settle@1", "om-worker@1"], timeout=60.0
        )
