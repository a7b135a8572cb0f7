import subprocess
import sys
from contextlib import suppress

import pytest

from workers.filters import FilterError, check_filter, sample
from workers.parsing import CONVERSATION_MESSAGE, CONVERSATION_NEW, CONVERSATION_UPDATED

EXACT = "channel.type == 'custom' && channel.externalId == 'custom-social-channel-01'"
TRANSITIONS = "routing.status == 'CONTACT-QUEUED' || routing.status == 'CONTACT-ROUTED'"


@pytest.mark.parametrize("event_type", [CONVERSATION_NEW, CONVERSATION_MESSAGE, None])
def test_the_guides_filter_is_in_order_and_takes_its_sample(event_type):
    found = check_filter(EXACT, event_type)

    assert found.warnings == ()
    assert found.evaluate(sample(CONVERSATION_NEW))
    assert not found.evaluate(sample(CONVERSATION_NEW, external_id="another"))


@pytest.mark.parametrize(
    "expression",
    [
        "channel.type == 'custom'",
        "channel.type == 'custom' || channel.externalId == 'x'",
        "channel.externalId != 'retired'",
        "true",
    ],
)
def test_a_filter_that_takes_every_custom_channel_is_warned_of(expression):
    [warning] = check_filter(expression, CONVERSATION_NEW).warnings

    assert "channel.externalId" in warning


@pytest.mark.parametrize("expression", [EXACT, "channel.type == 'custom'"])
def test_updates_without_a_transition_are_refused(expression):
    with pytest.raises(FilterError, match=r"routing\.status"):
        check_filter(expression, CONVERSATION_UPDATED)


@pytest.mark.parametrize("guard", [TRANSITIONS, "has(attributes.vip)"])
def test_updates_with_a_transition_or_a_field_of_their_own_are_in_order(guard):
    found = check_filter(f"{EXACT} && ({guard})", CONVERSATION_UPDATED)

    assert found.warnings == ()


@pytest.mark.parametrize(
    ("expression", "field", "nearest"),
    [
        ("channel.externalID == 'x'", "channel.externalID", "channel.externalId"),
        ("chanel.type == 'custom'", "chanel", "channel.type"),
        ("participants.exists(p, p.rol == 'agent')", "participants[].rol", "participants[].role"),
        ("routing.state == 'CONTACT-QUEUED'", "routing.state", "routing.status"),
        ("conversationId.length == 3", "conversationId.length", "conversationId"),
    ],
)
def test_a_field_that_no_body_has_is_refused_with_the_nearest_that_there_is(expression, field, nearest):
    with pytest.raises(FilterError) as caught:
        check_filter(expression, CONVERSATION_NEW)

    assert str(caught.value) == f"{field} is not a field of the body: did you mean {nearest}?"


def test_a_free_form_object_may_have_any_name_within():
    assert check_filter("metadata.platformOrigin == 'x' && channel.externalId == 'y'", CONVERSATION_NEW)


@pytest.mark.parametrize(
    "expression", ["channel.to.idType == 'Email'", "detail.eventBody.mediaType == 'MESSAGE'"]
)
def test_the_native_fields_count_for_what_comes_in_and_not_for_the_platforms_filters(expression):
    assert check_filter(expression)
    with pytest.raises(FilterError, match="is not a field"):
        check_filter(expression, CONVERSATION_NEW)


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("channel.type ==", "is not CEL: 1:16"),
        ("", "is not CEL"),
        ("channel.type", "is not a condition"),
        ("size(participants)", "is not a condition"),
    ],
)
def test_what_is_no_condition_is_refused(expression, reason):
    with pytest.raises(FilterError, match=reason):
        check_filter(expression)


def test_a_part_that_a_body_lacks_is_empty():
    body = {"eventType": CONVERSATION_NEW}

    assert not check_filter("has(routing.status)").evaluate(body)
    assert not check_filter("participants.exists(p, p.role == 'customer')").evaluate(body)
    assert check_filter("sequence == null && has(channel.externalId) == false").evaluate(body)


@pytest.mark.parametrize(
    ("expression", "body"),
    [
        ("routing.status == 'CONTACT-QUEUED'", {}),
        ("sequence > 5", {"sequence": "secret"}),
        ("message.text == 'x'", {"message": "secret"}),
    ],
)
def test_an_expression_that_cannot_be_told_says_so_and_quotes_no_value(expression, body):
    with pytest.raises(FilterError) as caught:
        check_filter(expression).evaluate(body)

    assert "secret" not in str(caught.value)


def test_the_library_is_loaded_for_those_alone_who_have_a_filter():
    code = "import workers.__main__, omctl.__main__, sys; sys.exit('cel' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("expression", "is_so"),
    [
        ("channel.size() == 3 || size(channel) == 3", True),
        ("channel['type'] == 'custom' && channel.name != ''", True),
        ("(channel).externalId == 'custom-social-channel-01'", True),
        ("channel.exists(name, name == 'externalId')", True),
        ("participants[0].role == 'customer' && participants.size() == 1", True),
        ("[channel][0].name.startsWith('Custom')", True),
    ],
)
def test_an_expression_is_given_all_that_it_names_in_any_way(expression, is_so):
    found = check_filter(f"channel.externalId != '' && ({expression})")

    assert found.evaluate(sample(CONVERSATION_NEW)) is is_so


NESTED = {
    "brackets": ("(", "true", ")"),
    "lists": ("[", "1", "]"),
    "objects": ("{1:", "1", "}"),
    "negations": ("!", "true", ""),
    "calls": ("size(", "'a'", ")"),
    "methods": ("", "'a'", ".size()"),
    "conditions": ("true ? true : ", "true", ""),
    "macros": ("[1].all(a, ", "true", ")"),
    "members": ("", "channel", ".a"),
}


@pytest.mark.parametrize("times", [100, 4000, 100_000])
@pytest.mark.parametrize("kind", NESTED)
def test_an_expression_of_any_depth_is_compiled_or_refused_as_any_other(kind, times):
    before, middle, after = NESTED[kind]
    with suppress(FilterError):
        check_filter(before * times + middle + after * times)
