"""An event filter is accepted, refused or gets a warning, and matches the events that it describes."""

import subprocess
import sys
from contextlib import suppress

import pytest

from workers.filters import FilterError, check_filter, sample
from workers.filters.expression import find_paths
from workers.parsing import CONVERSATION_MESSAGE, CONVERSATION_NEW, CONVERSATION_UPDATED

EXACT = "channel.type == 'custom' && channel.externalId == 'custom-social-channel-01'"
TRANSITIONS = "routing.status == 'CONTACT-QUEUED' || routing.status == 'CONTACT-ROUTED'"


@pytest.mark.parametrize("event_type", [CONVERSATION_NEW, CONVERSATION_MESSAGE, None])
def test_the_guides_filter_is_accepted_and_matches_its_sample(event_type):
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
def test_a_filter_that_matches_every_custom_channel_gets_a_warning(expression):
    [warning] = check_filter(expression, CONVERSATION_NEW).warnings
    assert "channel.externalId" in warning


@pytest.mark.parametrize(
    "expression",
    [
        EXACT,
        "channel.type == 'custom'",
        f"{EXACT} && routing.status != ''",
        "channel.externalId == 'x' && routing.status != 'CONTACT-ENDED'",
        "channel.externalId in ['x', 'y'] && !has(metadata.test)",
        "channel.externalId == 'x' && (has(attributes.vip) || true)",
    ],
)
def test_update_filters_without_a_transition_are_refused(expression):
    with pytest.raises(FilterError, match=r"routing\.status"):
        check_filter(expression, CONVERSATION_UPDATED)


@pytest.mark.parametrize(
    "guard", [TRANSITIONS, "has(attributes.vip)", "metadata.platformOrigin == 'facebook-custom-connector'"]
)
def test_update_filters_with_a_transition_or_another_field_are_accepted(guard):
    assert check_filter(f"{EXACT} && ({guard})", CONVERSATION_UPDATED).warnings == ()


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
def test_the_error_for_an_unknown_field_names_the_nearest_known_field(expression, field, nearest):
    with pytest.raises(FilterError) as caught:
        check_filter(expression, CONVERSATION_NEW)
    assert str(caught.value) == f"{field} is not a field of the body: did you mean {nearest}?"


@pytest.mark.parametrize(
    "expression", ["channel.to.idType == 'Email'", "detail.eventBody.mediaType == 'MESSAGE'"]
)
def test_native_fields_are_accepted_in_intakes_filter_and_refused_in_the_platforms_filters(expression):
    assert check_filter(expression)
    with pytest.raises(FilterError, match="is not a field"):
        check_filter(expression, CONVERSATION_NEW)


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("channel.type ==", "is not valid CEL: 1:16"),
        ("", "is not valid CEL"),
        ("channel.type", "is not a condition"),
        ("size(participants)", "is not a condition"),
    ],
)
def test_an_expression_that_is_not_a_condition_is_refused(expression, reason):
    with pytest.raises(FilterError, match=reason):
        check_filter(expression)


def test_a_missing_part_of_a_body_counts_as_empty():
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
        ("attributes[message.text] == 'x'", {"message": {"text": "secret"}, "attributes": {}}),
    ],
)
def test_an_expression_that_cannot_be_evaluated_raises_an_error_without_the_value(expression, body):
    with pytest.raises(FilterError) as caught:
        check_filter(expression).evaluate(body)
    assert "secret" not in str(caught.value)


def test_the_cel_library_is_loaded_only_if_a_filter_is_set():
    code = "import workers.__main__, omctl.__main__, sys; sys.exit('cel' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    "expression",
    [
        "channel.size() == 3 || size(channel) == 3",
        "channel['type'] == 'custom' && channel.name != ''",
        "(channel).externalId == 'custom-social-channel-01'",
        "channel.exists(name, name == 'externalId')",
        "participants[0].role == 'customer' && participants.size() == 1",
        "[channel][0].name.startsWith('Custom')",
    ],
)
def test_an_expression_can_read_every_field_that_it_names_in_any_notation(expression):
    found = check_filter(f"channel.externalId != '' && ({expression})")
    assert found.evaluate(sample(CONVERSATION_NEW)) is True


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
def test_a_deeply_nested_expression_is_compiled_or_refused(kind, times):
    before, middle, after = NESTED[kind]
    with suppress(FilterError):
        check_filter(before * times + middle + after * times)


@pytest.mark.parametrize(
    ("expression", "paths"),
    [
        ("channel.type == 'custom'", {"channel.type"}),
        ("channel['type'] == \"a.b\" && !(x.y in ['c.d'])", {"channel.type", "x.y"}),
        (
            "participants.exists(p, p.role == 'customer' && p.id != q)",
            {"participants[].role", "participants[].id", "q"},
        ),
        ("participants[0].role == 'x'", {"participants[].role"}),
        ("a[b.c].d > 1.5", {"b.c", "a[].d"}),
        ("has(routing.status) && size(participants) > 0", {"routing.status", "participants"}),
        ("message.text.startsWith(channel.name)", {"message.text", "channel.name"}),
        ("m.content.all(c, c.parts.exists(t, t.x == c.y))", {"m.content[].parts[].x", "m.content[].y"}),
        ('true || null == "it\'s a.b" // c.d', set()),
        ("r'\\d.e' == '''a\n.b''' && timestamp > duration('1s')", {"timestamp"}),
    ],
)
def test_every_field_that_an_expression_names_is_found(expression, paths):
    found = {".".join(path).replace(".[]", "[]") for path in find_paths(expression)}
    # find_paths also returns the path on which a macro or method is called, a prefix of a named path.
    assert paths <= found
    assert all(any(path.startswith(extra) for path in paths) for extra in found - paths)
