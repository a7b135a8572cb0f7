"""The stand's platform answers as the simulated one does, and keeps its own account."""

import random

import pytest

from simulator.platform import Fault, create_platform
from tests.chaos.behind import Contacts, CountingOrganisation


@pytest.fixture
def organisation():
    made = CountingOrganisation("stand", "secret")
    made.conversations = Contacts()
    return made


@pytest.fixture
def ask(organisation):
    client = create_platform(organisation).test_client()
    headers = {"Authorization": f"Bearer {organisation.issue_token()}"}
    return lambda conversation_id: client.get(f"/api/v2/conversations/{conversation_id}", headers=headers)


def test_every_second_conversation_waits_and_the_others_are_with_an_agent(ask, organisation):
    purposes = [ask(f"c-{number}").json["participants"][1]["purpose"] for number in range(4)]
    assert purposes == ["acd", "agent"] * 2
    assert organisation.conversations.said["c-1"] == {"agent"}


def test_all_that_a_liar_says_is_noted(ask, organisation):
    organisation.conversations.liar = random.Random(1)
    answers = {ask("c-0").status_code for _ in range(30)}
    assert answers == {200, 404}
    assert organisation.conversations.said["c-0"] == {"acd", "agent", "workflow", ""}


def test_a_fault_is_counted_when_it_is_answered(ask, organisation):
    organisation.strike(Fault(429, retry_after=1))
    assert organisation.faults == 0
    assert ask("c-0").status_code == 429
    assert organisation.faults == 1
