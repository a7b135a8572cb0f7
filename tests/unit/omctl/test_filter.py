"""omctl filter checks an expression and tries it on events."""

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


def test_a_usable_filter_is_reported_with_its_warnings():
    assert run("check", EXACT, "--type", "new").output == "The filter can be used.\n"
    result = run("check", "channel.type == 'custom'", "--type", "new")
    assert result.exit_code == 0
    assert result.output.startswith("Warning: accepts the events of every custom channel")


def test_the_configured_filter_is_checked_if_no_expression_is_given():
    with pytest.raises(FilterError, match=r"channel\.externalId"):
        run("check", OM_EVENT_FILTER="channel.externalID == 'x'")
    with pytest.raises(ConfigurationError, match="OM_EVENT_FILTER"):
        run("check", OM_EVENT_FILTER="")


def test_a_filter_is_tried_on_each_body_of_a_file_or_on_the_guides_samples(tmp_path):
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
def test_a_body_that_the_filter_cannot_decide_or_that_is_not_json_is_an_error(body, status, text):
    result = run("test", "routing.status == 'CONTACT-QUEUED'", "-", body=body)
    assert (result.exit_code, text in result.output) == (status, True)
