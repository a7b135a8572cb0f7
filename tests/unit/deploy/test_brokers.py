"""The description of a broker, and which one comes first."""

from deploy.local.brokers import BrokerAddress, named_broker
from tests.servers import in_virtual_host

ADDRESS = BrokerAddress("amqp://user:word@host:5672/%2F", "http://user:word@host:15672", "a broker")


def test_no_password_is_shown():
    assert "word" not in repr(ADDRESS)
    assert ADDRESS.management_page == "http://host:15672"


def test_a_virtual_host_is_put_into_the_address():
    assert in_virtual_host(ADDRESS.amqp_url, "a/b") == "amqp://user:word@host:5672/a%2Fb"


def test_the_broker_of_the_environment_is_taken_as_it_is(monkeypatch):
    monkeypatch.setenv("OM_AMQP_URL", "amqp://elsewhere")
    monkeypatch.delenv("OM_MANAGEMENT_URL", raising=False)
    found = named_broker()
    assert (found.amqp_url, found.management_url) == ("amqp://elsewhere", "")


def test_without_the_variable_no_broker_is_configured(monkeypatch):
    monkeypatch.delenv("OM_AMQP_URL", raising=False)
    assert named_broker() is None
