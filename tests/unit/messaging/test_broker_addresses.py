"""A malformed broker address is refused with the name of its variable, and the address is not printed."""

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
        # NFKC turns this character into "a/c", whose "/" would end the host.
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
def test_a_malformed_address_is_refused_without_printing_it(address):
    assert "percent-encoded" in _refusal_of(address)


@pytest.mark.parametrize("option", ["'ca_certs'", "'ca_path':'/','certfile'"])
@pytest.mark.parametrize("is_missing", [True, False])
def test_the_error_for_a_missing_or_invalid_certificate_names_ssl_options(tmp_path, option, is_missing):
    file = tmp_path / SECRET
    if not is_missing:
        file.write_text(SECRET)
    assert "ssl_options" in _refusal_of(
        f"amqps://broker/?ssl_options={{{option}:'{file}','password':'{SECRET}'}}"
    )


def test_a_percent_encoded_password_is_decoded():
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
    ("urls", "vhost"),
    [(["amqp://host/%2F"], "/"), (["amqp://host"], "/"), (["amqp://host/om"], "om"), ([], "/")],
)
def test_the_virtual_host_is_read_from_the_first_address(urls, vhost):
    assert virtual_host(urls) == vhost
