"""Fixtures that run the whole service: a real edge, broker, worker and database."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from hashlib import sha256

import pytest
import sqlalchemy

from tests.services import Edge, IntakeWorker, Service, SettleWorker, declare_topology, post, running
from tests.waiting import wait_until
from workers.db.engine import make_engine


class WholeService:
    """Sends events to a running service and queries its tables."""

    def __init__(self, edge, worker, engine, amqp_url, environment):
        self.edge = edge
        self.worker = worker
        self.amqp_url = amqp_url
        self.environment = environment
        self._engine = engine

    def send(self, body):
        """Post a signed body and return the status code."""
        return post(self.edge.url, body).status_code

    def rows(self, sql, **parameters):
        with self._engine.connect() as connection:
            return connection.execute(sqlalchemy.text(sql), parameters).mappings().all()

    def wait_for(self, sql, **parameters):
        """Wait until a query finds rows, and return them."""
        return wait_until(lambda: self.rows(sql, **parameters), words=sql)

    def dead_letter_of(self, body):
        """Wait until a body is recorded as a dead letter, and return the recorded code and reason."""
        sql = "SELECT code, reason FROM dead_letters WHERE body_sha256 = :digest"
        [row] = self.wait_for(sql, digest=sha256(body).digest())
        return row

    def event_of(self, body):
        """Wait until a body's event is processed, and return the event's row."""
        sql = "SELECT * FROM processed_events WHERE body_sha256 = :digest"
        [row] = self.wait_for(sql, digest=sha256(body).digest())
        return row


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def whole_service(request, rabbitmq, tmp_path_factory):
    directory = tmp_path_factory.mktemp("service")
    with rabbitmq.make_vhost() as vhost, _database(request, directory) as database_url:
        declare_topology(vhost.amqp_url)
        service = Service(directory, vhost.amqp_url, rabbitmq.management_url)
        engine = make_engine(database_url)
        with (
            running(Edge(service)) as edge,
            running(IntakeWorker(service, database_url)) as worker,
            running(SettleWorker(service, database_url)) as settle,
        ):
            with ThreadPoolExecutor() as pool:
                list(pool.map(lambda process: process.start(), (edge, worker, settle)))
            environment = service.environment() | {"OM_DATABASE_URL": database_url}
            yield WholeService(edge, worker, engine, vhost.amqp_url, environment)
        engine.dispose()


def _database(request, directory):
    if request.param == "postgresql":
        like = request.getfixturevalue("migrated_postgresql")
        return request.getfixturevalue("postgresql").make_database(like=like)
    file = shutil.copyfile(request.getfixturevalue("migrated_sqlite"), directory / "events.sqlite3")
    return nullcontext(f"sqlite:///{file}")
