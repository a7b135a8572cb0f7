"""An address that cannot be read is refused by the variable's name, and nothing of it is repeated."""

import pytest

from messaging.broker import parameters_of, virtual_host
from messaging.errors import ConfigurationError

SECRET = "not-to-be-repeated"


@pytest.mark.parametrize(
    "address",
    [
        f"amqp://user:{SECRET}[@broker:5672/",
        f"amqp://user:{SECRET}]@broker:5672/",
        f"amqp://user:[{SECRET}]@broker:5672/",
        # Normalised (NFKC) it is "a/c", and "/" would end the host.
        f"amqp://user:{SECRET}\u2100@broker:5672/",
        f"amqp://user:{SECRET}#@broker:5672/",
        f"amqp://user:{SECRET}@broker:port/",
        f"http://user:{SECRET}@broker/",
        f"amqp://{SECRET}@broker/",
        f"amqp://broker/?{SECRET}=1",
        f"amqp://broker/?heartbeat={SECRET}",
        f"amqp://broker/?client_properties='{SECRET}'",
        f"amqps://broker/?ssl_options={{'ca_certs':{SECRET}",
        f"amqps://broker/?ssl_options=['{SECRET}']",
        f"amqps://broker/?ssl_options={'(' * 300}'{SECRET}'",
    ],
)
def test_a_malformed_address_is_named_and_not_repeated(address):
    assert "percent-encoded" in _refusal_of(address)


@pytest.mark.parametrize("option", ["'ca_certs'", "'ca_path':'/','certfile'"])
def test_a_certificate_that_is_missing_is_told_from_a_malformed_address(tmp_path, option):
    address = f"amqps://broker/?ssl_options={{{option}:'{tmp_path / SECRET}','password':'{SECRET}'}}"

    assert "ssl_options" in _refusal_of(address)


def test_a_certificate_that_is_none_is_refused_too(tmp_path):
    file = tmp_path / "ca.pem"
    file.write_text(SECRET)

    assert "ssl_options" in _refusal_of(f"amqps://broker/?ssl_options={{'ca_certs':'{file}'}}")


def test_what_is_percent_encoded_in_a_password_is_taken():
    [parameters] = parameters_of(("amqp://user:a%5Bb%5D%2F%23@broker:5673/%2F",), client_name="test")

    assert parameters.credentials.password == "a[b]/#"
    assert (parameters.host, parameters.port, parameters.virtual_host) == ("broker", 5673, "/")


def _refusal_of(address):
    with pytest.raises(ConfigurationError, match="OM_AMQP_URL") as refusal:
        parameters_of((address,), client_name="test")
    assert SECRET not in str(refusal.value)
    assert refusal.value.__context__ is None or refusal.value.__suppress_context__
    return str(refusal.value)


@pytest.mark.parametrize(
    ("url", "vhost"),
    [("amqp://host/%2F", "/"), ("amqp://host", "/"), ("amqp://host/", "/"), ("amqp://host/om", "om")],
)
def test_the_virtual_host_is_read_from_the_address(url, vhost):
    assert virtual_host((url,)) == vhost


def test_without_an_address_the_virtual_host_is_the_default():
    assert virtual_host(()) == "/"
