import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.parsing.events import CONVERSATION_MESSAGE, CONVERSATION_NEW, QUEUED, ROUTED
from workers.settle.plan import (
    LATE,
    Decision,
    PendingEvent,
    Position,
    SettledState,
    count_fitting,
    settle_window,
)


def message(at, event_id=None, sequence=0, received=0):
    return PendingEvent(Position(at, sequence, received, event_id or at))


def routed(at, status, queue=None, event_id=None):
    return PendingEvent(Position(at, 0, 0, event_id or at), status, queue)


def types_of(settlement):
    return [entry.event_type for entry in settlement.entries]


def test_a_window_is_settled_in_order_of_timestamp_then_sequence_then_arrival():
    window = [
        message(30, 1),
        message(20, 2, sequence=2),
        message(20, 3, sequence=1),
        message(10, 4, received=2),
    ]
    window.append(message(10, 5, received=1))
    settlement = settle_window(SettledState(has_session=True), window)
    assert [entry.event_id for entry in settlement.entries] == [5, 4, 3, 2, 1]
    assert not any(entry.late for entry in settlement.entries)


def test_a_message_is_never_sent_before_its_conversations_start():
    settlement = settle_window(SettledState(), [message(10), message(11)])
    assert types_of(settlement) == [CONVERSATION_NEW, CONVERSATION_MESSAGE, CONVERSATION_MESSAGE]
    assert settlement.entries[0].event_id is None
    assert settlement.state.has_session
    assert types_of(settle_window(settlement.state, [message(12)])) == [CONVERSATION_MESSAGE]


def test_an_event_older_than_a_settled_event_is_late_and_does_not_change_the_state():
    first = settle_window(SettledState(has_session=True), [routed(30, QUEUED, "q1"), message(31)])
    late = settle_window(first.state, [routed(20, ROUTED), message(21)])
    assert [entry.late for entry in late.entries] == [True, True]
    assert late.decisions == (Decision(routed(20, ROUTED), LATE),)
    assert late.state == first.state


def test_an_event_with_the_same_time_as_a_settled_event_is_not_late():
    first = settle_window(SettledState(has_session=True), [message(10, 1)])
    assert not settle_window(first.state, [message(10, 2)]).entries[0].late


POSITIONS = st.builds(
    Position, st.integers(0, 6), st.integers(0, 1), st.integers(0, 3), st.integers(1, 10**6)
)
EVENTS = st.lists(
    st.one_of(
        st.builds(PendingEvent, POSITIONS),
        st.builds(
            PendingEvent,
            POSITIONS,
            st.sampled_from([QUEUED, ROUTED]),
            st.sampled_from([None, "q1", "q2"]),
            st.none(),
            st.sampled_from([None, True, False]),
        ),
    ),
    max_size=8,
    unique_by=lambda event: event.position.event_id,
)


@given(EVENTS, st.data())
def test_any_order_and_any_division_into_windows_ends_in_the_same_state(events, data):
    def final(order, cuts):
        state, entries = SettledState(), []
        for start, end in zip([0, *cuts], [*cuts, len(order)], strict=True):
            settlement = settle_window(state, order[start:end])
            state = settlement.state
            entries += settlement.entries
        through = state.through and (state.through.occurred_at_us, state.through.sequence)
        routing = (state.routing.status, state.routing.queue)
        written = sorted((entry.event_type, entry.event_id or 0) for entry in entries)
        return through, routing, state.has_session, written

    shuffled = data.draw(st.permutations(events))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(events)), max_size=4)))
    assert final(shuffled, cuts) == final(events, [])


@pytest.mark.parametrize(
    ("waiting", "together"),
    [([], 0), ([3], 1), ([30], 1), ([4, 6, 1], 2), ([4, 7], 1), ([30, 1], 1), ([0, 0, 10, 0], 4)],
)
def test_conversations_are_settled_together_while_their_events_are_few(waiting, together):
    assert count_fitting(waiting, 10) == together
