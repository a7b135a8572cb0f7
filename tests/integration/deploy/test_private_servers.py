"""The private servers come back with their data after whatever is done to them."""

import psutil
import psycopg
import pytest

from tests.servers import (
    ManagementApi,
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


def test_a_killed_node_comes_back_on_the_same_address_with_its_data(node):
    ManagementApi(node.management_url).create_virtual_host("kept")
    address = node.amqp_url
    node.kill()
    assert not node.is_ready()
    node.start()
    assert node.amqp_url == address
    assert "kept" in node.ctl("list_vhosts")


def test_a_frozen_node_answers_nothing_until_it_is_resumed(node):
    node.freeze()
    assert not node.is_ready()
    node.resume()
    assert node.is_ready()


def test_a_second_node_runs_beside_the_first_and_joins_its_cluster(node, tmp_path):
    with PrivateRabbitMQ(tmp_path, name="second", peer=node) as second:
        second.join_cluster(node)
        assert "second@localhost" in node.ctl("cluster_status")
        node.ctl("await_online_nodes", "2")


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
