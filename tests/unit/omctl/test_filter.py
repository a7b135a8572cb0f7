"""omctl filter: an expression is checked before the platform or the workers use it."""

import json

import pytest
from click.testing import CliRunner

from messaging.errors import ConfigurationError
from omctl.develop.filter import filters
from workers.filters import FilterError, sample
from workers.parsing import CONVERSATION_NEW

EXACT = "channel.type == 'custom' && channel.externalId == 'custom-social-channel-01'"


def run(*arguments, body=b"", **environment):
    return CliRunner().invoke(filters, arguments, input=body, env=environment, catch_exceptions=False)


def test_a_filter_that_can_be_used_is_reported_with_its_warnings():
    assert run("check", EXACT, "--type", "new").output == "The filter can be used.\n"
    result = run("check", "channel.type == 'custom'", "--type", "new")
    assert result.exit_code == 0
    assert result.output.startswith("Warning: accepts the events of every custom channel")


def test_the_configured_filter_is_checked_if_none_is_given():
    with pytest.raises(FilterError, match=r"channel\.externalId"):
        run("check", OM_EVENT_FILTER="channel.externalID == 'x'")
    with pytest.raises(ConfigurationError, match="OM_EVENT_FILTER"):
        run("check", OM_EVENT_FILTER="")


def test_each_body_of_a_file_is_tried_by_itself_and_without_a_file_the_guides_samples(tmp_path):
    results = json.loads(run("test", EXACT, "--json").output)["results"]
    assert [result["result"] for result in results] == ["matches"] * 3

    other = sample(CONVERSATION_NEW, external_id="another")
    path = tmp_path / "bodies.json"
    path.write_text("\n".join(json.dumps(body) for body in (sample(CONVERSATION_NEW), other)))
    results = json.loads(run("test", EXACT, str(path), "--json").output)["results"]
    assert [result["body"] for result in results] == [f"{path}:1", f"{path}:2"]
    assert [result["result"] for result in results] == ["matches", "does not match"]


@pytest.mark.parametrize(
    ("body", "status", "text"), [(b'{"eventType": "x"}', 1, "status is missing"), (b"{", 2, "JSON")]
)
def test_an_undecided_body_makes_it_exit_with_1_and_one_that_is_not_json_is_wrong_usage(body, status, text):
    result = run("test", "routing.status == 'CONTACT-QUEUED'", "-", body=body)
    assert (result.exit_code, text in result.output) == (status, True)
