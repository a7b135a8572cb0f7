"""The demonstration reports every difference between ledger, tables, queue, deliveries and reconciliation."""

import json

import pytest

from simulator.accounts import Accounts, ReconciliationResult, find_disagreements
from simulator.demonstration import WITHHELD, WithheldEvents, demonstration_plan
from simulator.ledger import LedgerRow
from simulator.platform import Organisation
from simulator.settlement import Records, settle
from simulator.traffic import traffic

GOOD = LedgerRow("aa", 1, "message", 200, 1, answered=True)
MALFORMED = LedgerRow("bb", None, "malformed", 200, 1, answered=True)
DELIVERED = {"planned": 9, "delivered": 9, "repeated": 0, "disordered": 0, "forged": 0}
RECONCILED = ReconciliationResult(20, 20, 0, 20)


def accounts(ledger=(GOOD, MALFORMED), outcomes=("processed",), queued=("bb",)):
    records = Records({"aa": outcomes}, dead_letters=[("bb", "not_json")], kept={"aa"} if outcomes else ())
    return Accounts(ledger, records, queued, settle(ledger, records, queued=queued))


@pytest.mark.parametrize(
    ("difference", "found"),
    [
        ({}, []),
        ({"outcomes": ()}, ["1 lost"]),
        ({"outcomes": ("processed", "processed")}, ["1 repeated"]),
        ({"queued": ("bb", "bb")}, ["dead letters are in the queue that are not recorded"]),
        ({"queued": ("bb", "cc")}, ["dead letters are in the queue that are not recorded"]),
        ({"queued": ()}, ["1 lost", "dead letters are recorded that are not in the queue"]),
        (
            {"ledger": (GOOD, LedgerRow("bb", None, "malformed", 429, 6, answered=False))},
            ["1 bodies were never answered 200"],
        ),
    ],
)
def test_any_difference_is_reported(difference, found):
    assert find_disagreements(accounts(**difference), DELIVERED, RECONCILED) == found


def test_twenty_events_of_twenty_conversations_are_withheld_and_are_in_the_history():
    posts = list(traffic(demonstration_plan(1000)))
    withheld = WithheldEvents(Organisation("client", "secret"))
    sent = list(withheld.filter(posts))
    gone = {post.event for post in posts} - {post.event for post in sent}
    payloads = {post.event: json.loads(post.body) for post in posts if post.event is not None}
    assert len(gone) == len(withheld.withheld) == WITHHELD
    assert len({payloads[event]["conversationId"] for event in gone}) == WITHHELD
    for event in gone:
        past = withheld.organisation.history.conversation(payloads[event]["conversationId"])
        assert {each.message_id for each in past.known_messages} & {
            identity for identity, _ in withheld.withheld
        }


@pytest.mark.parametrize(
    ("result", "is_right"),
    [((20, 20, 0, 20), True), ((19, 19, 0, 20), False), ((20, 19, 0, 20), False), ((21, 20, 1, 20), False)],
)
def test_reconciliation_must_find_the_withheld_events_and_no_other(result, is_right):
    found = find_disagreements(accounts(), DELIVERED, ReconciliationResult(*result))
    assert (not found) is is_right


def test_the_conclusion_explains_each_total():
    text = accounts().conclusion(RECONCILED)
    assert text.startswith(
        "2 distinct events were answered 200, and each was processed once: 1 took effect, 0 "
    )
    assert "recovered 20 of the 20.\n0 events were lost, and 0 took effect twice." in text


@pytest.mark.parametrize("name", ["delivered", "repeated", "disordered", "forged"])
def test_any_difference_of_the_deliveries_is_reported(name):
    assert len(find_disagreements(accounts(), DELIVERED | {name: 1}, RECONCILED)) == 1
