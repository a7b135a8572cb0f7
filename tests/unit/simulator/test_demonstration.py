"""The demonstration's comparison of ledger, tables, queue, deliveries and reconciliation."""

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
UNANSWERED = LedgerRow("bb", None, "malformed", 429, 6, answered=False)
DELIVERED = {"planned": 9, "delivered": 9, "repeated": 0, "disordered": 0, "forged": 0}
RECONCILED = (20, 20, 0, 20)


def accounts(ledger=(GOOD, MALFORMED), outcomes=("processed",), queued=("bb",)):
    records = Records({"aa": outcomes}, dead_letters=[("bb", "not_json")], kept={"aa"} if outcomes else ())
    return Accounts(ledger, records, queued, settle(ledger, records, queued=queued))


@pytest.mark.parametrize(
    ("difference", "counts", "reconciled", "found"),
    [
        ({}, {}, RECONCILED, []),
        ({"outcomes": ()}, {}, RECONCILED, ["1 lost"]),
        ({"outcomes": ("processed", "processed")}, {}, RECONCILED, ["1 repeated"]),
        ({"queued": ("bb", "cc")}, {}, RECONCILED, ["dead letters are in the queue that are not recorded"]),
        ({"queued": ()}, {}, RECONCILED, ["1 lost", "dead letters are recorded that are not in the queue"]),
        ({"ledger": (GOOD, UNANSWERED)}, {}, RECONCILED, ["1 bodies were never answered 200"]),
        ({}, {"delivered": 1}, RECONCILED, ["9 deliveries planned, 1 received"]),
        ({}, {"repeated": 1}, RECONCILED, ["1 received twice"]),
        ({}, {"disordered": 1}, RECONCILED, ["1 received out of order"]),
        ({}, {"forged": 1}, RECONCILED, ["1 received without a valid signature"]),
        ({}, {}, (19, 20, 0, 20), ["20 events withheld, 19 found missing"]),
        ({}, {}, (20, 19, 0, 20), ["20 events withheld, 19 recovered"]),
        ({}, {}, (20, 20, 1, 20), ["1 events found missing that were not"]),
    ],
)
def test_each_disagreement_is_reported(difference, counts, reconciled, found):
    result = ReconciliationResult(*reconciled)
    assert find_disagreements(accounts(**difference), DELIVERED | counts, result) == found


def test_the_withheld_events_belong_to_different_conversations_and_are_in_the_history():
    posts = list(traffic(demonstration_plan(1000)))
    withheld = WithheldEvents(Organisation("client", "secret"))
    sent = list(withheld.filter(posts))
    missing = {post.event for post in posts} - {post.event for post in sent}
    payloads = {post.event: json.loads(post.body) for post in posts if post.event is not None}
    conversations = {payloads[event]["conversationId"] for event in missing}
    assert len(missing) == len(withheld.withheld) == len(conversations) == WITHHELD == 20
    identities = {identity for identity, _ in withheld.withheld}
    for conversation in conversations:
        past = withheld.organisation.history.conversation(conversation)
        assert {message.message_id for message in past.known_messages} & identities


def test_the_conclusion_explains_each_total():
    text = accounts().conclusion(ReconciliationResult(*RECONCILED))
    assert text.startswith(
        "2 distinct events were answered 200, and each was processed once: 1 took effect, 0 "
    )
    assert "recovered 20 of the 20.\n0 events were lost, and 0 took effect twice." in text
