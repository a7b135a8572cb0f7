"""The private servers can be struck and are gone afterwards.

That a node comes back with its data, and that a second joins it, is what test_majority.py and the chaos suite
live on.
"""

import psutil
import psycopg
import pytest

from tests.servers import (
    PrivatePostgreSQL,
    PrivateRabbitMQ,
    require_postgresql,
    require_rabbitmq,
)


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    require_rabbitmq()
    with PrivateRabbitMQ(tmp_path_factory.mktemp("node")) as running:
        yield running


def test_a_frozen_node_answers_nothing_until_it_is_resumed(node):
    node.freeze()
    assert not node.is_ready()
    node.resume()
    assert node.is_ready()


def test_nothing_of_a_stopped_node_is_left(tmp_path):
    require_rabbitmq()
    with PrivateRabbitMQ(tmp_path):
        assert {"beam.smp", "epmd"} <= _programs_in(tmp_path)
    assert _programs_in(tmp_path) == set()


def _programs_in(directory):
    """Name the processes whose working directory is there; servers are started in their own."""
    running = psutil.process_iter(["name", "cwd"])
    return {process.info["name"] for process in running if process.info["cwd"] == str(directory)}


@pytest.mark.parametrize("end", ["stop", "kill_immediate"])
def test_postgresql_comes_back_with_its_data(tmp_path, end):
    require_postgresql()
    with PrivatePostgreSQL(tmp_path) as server:
        url = server.create_database("kept")
        getattr(server, end)()
        assert not server.is_ready()
        server.start()
        with psycopg.connect(url.replace("+psycopg", "")) as connection:
            assert connection.execute("SHOW fsync").fetchone() == ("on",)


def test_each_virtual_host_and_each_database_is_empty_and_gone_afterwards(rabbitmq, postgresql):
    with rabbitmq.make_vhost() as (amqp_url, name), postgresql.make_database() as url:
        assert amqp_url.endswith(name)
        with psycopg.connect(url.replace("+psycopg", "")):
            pass
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url.replace("+psycopg", ""))


def test_database_url_is_one_of_each_kind(database_url):
    assert database_url.startswith(("sqlite:///", "postgresql+psycopg://"))
