"""The demonstration compares the ledger, the tables, the queue, the deliveries and the reconciliation."""

import json

import pytest

from simulator.accounts import Accounts, Records, find_disagreements, settle
from simulator.demonstration import WITHHELD, compare_gaps, demonstration_plan, withhold
from simulator.ledger import LedgerRow
from simulator.platform import Organisation
from simulator.traffic import traffic

GOOD = LedgerRow("aa", 1, "message", 200, 1, answered=True)
MALFORMED = LedgerRow("bb", None, "malformed", 200, 1, answered=True)
UNANSWERED = LedgerRow("bb", None, "malformed", 429, 6, answered=False)
DELIVERED = {"planned": 9, "delivered": 9, "repeated": 0, "disordered": 0, "forged": 0}
RECONCILED = {"withheld": 20, "missing": 20, "recovered": 20, "false": 0}


def accounts(ledger=(GOOD, MALFORMED), outcomes=("processed",), queued=("bb",)):
    records = Records(
        {"aa": outcomes}, dead_letters=[("bb", "not_json")], kept={"aa"} if outcomes else (), queued=queued
    )
    return Accounts(ledger, records, settle(ledger, records))


@pytest.mark.parametrize(
    ("difference", "counts", "found"),
    [
        ({}, {}, []),
        ({"outcomes": ()}, {}, ["1 lost"]),
        ({"outcomes": ("processed", "processed")}, {}, ["1 repeated"]),
        ({"queued": ("bb", "cc")}, {}, ["some dead letters in the queue are not recorded"]),
        ({"queued": ()}, {}, ["1 lost", "some recorded dead letters are not in the queue"]),
        ({"ledger": (GOOD, UNANSWERED)}, {}, ["1 bodies were never answered 200"]),
        ({}, {"delivered": 1}, ["9 deliveries planned, 1 received"]),
        ({}, {"repeated": 1}, ["1 received twice"]),
        ({}, {"disordered": 1}, ["1 received out of order"]),
        ({}, {"forged": 1}, ["1 received without a valid signature"]),
        ({}, {"missing": 19}, ["20 events withheld, 19 found missing"]),
        ({}, {"recovered": 19}, ["20 events withheld, 19 recovered"]),
        ({}, {"false": 1}, ["1 events wrongly found missing"]),
    ],
)
def test_each_disagreement_is_reported(difference, counts, found):
    assert find_disagreements(accounts(**difference), DELIVERED | RECONCILED | counts) == found


def test_gaps_are_compared_with_the_withheld_events():
    withheld = {("a", ""), ("b", "Read"), ("c", "")}
    gaps = [
        {"message": "a", "status": None, "recovered": True},
        {"message": "b", "status": "Read", "recovered": False},
        {"message": "b", "status": "Delivered", "recovered": True},
    ]
    expected = {"withheld": 3, "missing": 3, "recovered": 1, "false": 1}
    assert compare_gaps(gaps, withheld) == expected


def test_the_withheld_events_belong_to_different_conversations_and_are_in_the_history():
    posts = list(traffic(demonstration_plan(1000)))
    organisation = Organisation("client", "secret")
    sent, withheld = withhold(posts, organisation)
    missing = {post.event for post in posts} - {post.event for post in sent}
    payloads = {post.event: json.loads(post.body) for post in posts if post.event is not None}
    conversations = {payloads[event]["conversationId"] for event in missing}
    assert len(missing) == len(withheld) == len(conversations) == WITHHELD == 20
    identities = {identity for identity, _ in withheld}
    for conversation in conversations:
        past = organisation.history.conversations[conversation]
        assert {message["id"] for message in past.known_messages()} & identities


def test_the_conclusion_explains_each_total():
    text = accounts().conclusion(RECONCILED)
    assert text.startswith(
        "2 distinct events were answered 200, and each was processed once: 1 took effect, 0 "
    )
    assert "recovered 20 of the 20.\n0 events were lost, and 0 took effect twice." in text
