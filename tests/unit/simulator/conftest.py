"""A simulated platform and an authorized client."""

import pytest

from simulator.platform import Organisation, create_platform


@pytest.fixture
def organisation():
    organisation = Organisation("client", "secret")
    yield organisation
    organisation.outbound.stop()


@pytest.fixture
def ask(organisation):
    """A function that sends an authorized request to the platform and returns the answer."""
    client = create_platform(organisation).test_client()
    headers = {"Authorization": f"Bearer {organisation.issue_token()}"}
    return lambda method, path, body=None: client.open(
        f"/api/v2{path}", method=method, headers=headers, json=body
    )
