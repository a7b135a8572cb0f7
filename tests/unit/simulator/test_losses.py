"""What the demonstration's platform never sends, and what is said of the reconciliation."""

import json

from simulator.demonstration import LOST, Losses, Reconciled, plan_of
from simulator.platform import History
from simulator.traffic import traffic


def test_twenty_events_of_as_many_conversations_never_leave_and_are_in_the_history():
    posts = list(traffic(plan_of(1000)))
    losses = Losses(History())
    sent = list(losses.withhold(posts))
    gone = {post.event for post in posts} - {post.event for post in sent}
    payloads = {post.event: json.loads(post.body) for post in posts if post.event is not None}
    assert len(gone) == len(losses.lost) == LOST
    assert len({payloads[event]["conversationId"] for event in gone}) == LOST
    for event in gone:
        past = losses.history.conversation(payloads[event]["conversationId"])
        assert {each.message_id for each in past.said} & {identity for identity, _ in losses.lost}


def test_one_too_few_or_too_many_is_told():
    assert not Reconciled(20, 20, 0, 20).disagreements()
    assert Reconciled(19, 19, 0, 20).disagreements()
    assert Reconciled(20, 19, 0, 20).disagreements()
    assert Reconciled(21, 20, 1, 20).disagreements()
