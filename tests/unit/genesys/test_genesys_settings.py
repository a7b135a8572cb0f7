import pytest

from messaging.environment import Environment
from messaging.errors import ConfigurationError
from workers.genesys import read_genesys_settings

CREDENTIALS = {"OM_GENESYS_CLIENT_ID": "client", "OM_GENESYS_CLIENT_SECRET": "not-to-be-shown"}


@pytest.fixture
def read(monkeypatch):
    def read(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return read_genesys_settings(Environment())

    return read


def test_no_platform_is_configured_without_region_or_address(read):
    assert read() is None


@pytest.mark.parametrize("region", ["eu-central-1", "mypurecloud.de"])
def test_a_region_can_be_given_by_its_aws_name_or_its_domain(read, region):
    settings = read(OM_GENESYS_REGION=region, **CREDENTIALS)
    assert settings.api_url == "https://api.mypurecloud.de"
    assert settings.login_url == "https://login.mypurecloud.de"
    assert "not-to-be-shown" not in repr(settings)


@pytest.mark.parametrize(
    ("address", "login"),
    [
        ("http://127.0.0.1:5005/", "http://127.0.0.1:5005"),
        ("https://api.mypurecloud.ie", "https://login.mypurecloud.ie"),
        ("https://gateway.example/api.genesys", "https://gateway.example/api.genesys"),
    ],
)
def test_an_address_overrides_the_region_and_determines_the_login_service(read, address, login):
    settings = read(OM_GENESYS_API_URL=address, OM_GENESYS_REGION="eu-central-1", **CREDENTIALS)
    assert (settings.api_url, settings.login_url) == (address.rstrip("/"), login)


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"OM_GENESYS_REGION": "atlantis"} | CREDENTIALS, "OM_GENESYS_REGION"),
        ({"OM_GENESYS_API_URL": "http://example.org"} | CREDENTIALS, "OM_GENESYS_API_URL"),
        ({"OM_GENESYS_REGION": "eu-west-1", "OM_GENESYS_CLIENT_ID": "client"}, "OM_GENESYS_CLIENT_SECRET"),
        (
            {"OM_GENESYS_REGION": "eu-west-1", "OM_GENESYS_REQUESTS_PER_MINUTE": "many"} | CREDENTIALS,
            "OM_GENESYS_REQUESTS_PER_MINUTE",
        ),
    ],
)
def test_the_error_for_an_invalid_platform_setting_names_the_setting(read, variables, named):
    with pytest.raises(ConfigurationError, match=named):
        read(**variables)
