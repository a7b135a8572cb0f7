"""A simulated platform, and the settings that let commands reach it."""

import pytest

from simulator.platform import Organisation, create_platform
from simulator.serving import serve_app

CLIENT_SECRET = "constructed-client-secret"


@pytest.fixture
def organisation():
    return Organisation("client", CLIENT_SECRET)


@pytest.fixture
def platform(organisation):
    with serve_app(create_platform(organisation)) as url:
        yield {
            "OM_GENESYS_API_URL": url,
            "OM_GENESYS_CLIENT_ID": "client",
            "OM_GENESYS_CLIENT_SECRET": CLIENT_SECRET,
        }
