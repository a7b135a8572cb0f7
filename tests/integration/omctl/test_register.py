"""omctl register against the simulated platform, by HTTP."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from messaging.errors import ConfigurationError
from omctl.connect.register import RegistrationError, register
from simulator.platform import Fault, Organisation, create_platform
from simulator.serving import serve_app
from workers.genesys import PlatformUnavailableError

CLIENT_SECRET = "constructed-client-secret"
NEW, OLD = "constructed-newest-secret-0123", "constructed-older-secret-012345"
HEADER = "constructed-header-value"
URL = "https://api.example/webhooks/genesys/openmessaging"
FILE = f"""
url = "{URL}"
[integration]
name = "Ingest"
[webhook]
name = "Custom"
[[webhook.filters]]
event_type = "openmessaging:conversation:new"
filter = "channel.externalId == 'a'"
"""
SECRET_FIELD = "outboundNotificationWebhookSignatureSecretToken"


@pytest.fixture
def organisation():
    return Organisation("client", CLIENT_SECRET)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "registration.toml"
    path.write_text(FILE)
    return path


@pytest.fixture
def environment(organisation, file):
    with serve_app(create_platform(organisation)) as url:
        yield {
            "OM_GENESYS_API_URL": url,
            "OM_GENESYS_CLIENT_ID": "client",
            "OM_GENESYS_CLIENT_SECRET": CLIENT_SECRET,
            "OM_REGISTRATION": str(file),
            "OM_WEBHOOK_SECRETS": f"{NEW},{OLD}",
            "OM_REQUIRED_HEADERS": f"X-Webhook-Source={HEADER}",
            "OM_ALLOW_UNSIGNED": "true",
        }


def run(environment, *arguments):
    result = CliRunner().invoke(register, arguments, env=environment)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert not any(each in result.output for each in (NEW, OLD, HEADER, CLIENT_SECRET))
    return result


def the_only(registered):
    (content,) = registered.values()
    return content


def posts(organisation):
    return [each for each in organisation.requests if each.startswith("POST")]


def test_both_are_created_as_the_guide_and_the_platform_have_them(environment, organisation):
    result = run(environment)
    assert result.output.count("was created and verified") == 2
    assert the_only(organisation.registrations.webhooks) == {
        "id": the_only(organisation.registrations.webhooks)["id"],
        "name": "Custom",
        "description": "",
        "target": {"type": "http", "url": URL, "headers": {"X-Webhook-Source": HEADER}, "authType": "none"},
        "eventFilters": [
            {"eventType": "openmessaging:conversation:new", "filter": "channel.externalId == 'a'"}
        ],
        "retryPolicy": {"maxRetries": 5, "retryIntervalSeconds": 5, "backoffMultiplier": 2.0},
        "enabled": True,
    }
    integration = the_only(organisation.registrations.integrations)
    assert integration["name"] == "Ingest"
    assert integration["outboundNotificationWebhookUrl"] == URL
    assert integration["webhookHeaders"] == {"X-Webhook-Source": HEADER}
    assert integration[SECRET_FIELD] == NEW


def test_a_second_run_changes_nothing(environment, organisation):
    run(environment)
    before = len(organisation.requests)
    assert run(environment).output.count("is as configured") == 2
    assert all(each.startswith("GET") for each in organisation.requests[before:])


def test_a_dry_run_shows_every_field_and_changes_nothing(environment, organisation):
    shown = run(environment, "--dry-run", "--json")
    assert not posts(organisation)
    webhook = next(each for each in json.loads(shown.output)["registrations"] if each["kind"] == "webhook")
    fields = {each["field"]: each for each in webhook["differences"]}
    assert fields["target.url"] == {"field": "target.url", "registered": "-", "configured": URL}
    assert fields["target.headers.x-webhook-source"]["configured"] == "not shown"


def test_drift_of_every_kind_is_told_and_undone(environment, organisation):
    run(environment)
    assert run(environment, "--check").exit_code == 0
    webhook = the_only(organisation.registrations.webhooks)
    webhook["enabled"] = False
    webhook["eventFilters"].append({"eventType": "openmessaging:conversation:updated", "filter": ""})
    webhook["retryPolicy"]["maxRetries"] = 1
    integration = the_only(organisation.registrations.integrations)
    integration["webhookHeaders"] = {"x-webhook-source": "another", "X-Extra": "more"}
    integration[SECRET_FIELD] = "constructed-unknown-secret"
    checked = run(environment, "--check", "--json")
    assert checked.exit_code == 1
    assert {
        one["field"] for each in json.loads(checked.output)["registrations"] for one in each["differences"]
    } == {
        "enabled",
        "eventFilters.openmessaging:conversation:updated",
        "retryPolicy.maxRetries",
        "webhookHeaders.x-webhook-source",
        "webhookHeaders.x-extra",
        SECRET_FIELD,
    }
    assert "constructed-unknown-secret" not in checked.output
    assert run(environment).output.count("was changed and verified") == 2
    assert run(environment, "--check").exit_code == 0
    assert the_only(organisation.registrations.integrations)[SECRET_FIELD] == NEW


def test_a_secret_that_the_edge_takes_is_left_to_its_rotation_and_one_not_shown_is_no_drift(
    environment, organisation
):
    run(environment | {"OM_WEBHOOK_SECRETS": OLD})
    assert run(environment, "--check").exit_code == 0
    run(environment)
    assert the_only(organisation.registrations.integrations)[SECRET_FIELD] == OLD
    organisation.registrations.shows_secrets = False
    assert run(environment, "--check").exit_code == 0


def test_a_creation_that_failed_is_not_repeated_and_the_next_run_makes_it(environment, organisation, file):
    file.write_text(FILE.partition("[webhook]")[0])
    organisation.inject_fault(Fault(504), method="POST")
    with pytest.raises(RegistrationError, match="run the command again"):
        run(environment)
    assert not organisation.registrations.integrations
    organisation.inject_fault(Fault(504, is_carried_out=True), method="POST")
    assert "was created and verified" in run(environment).output
    assert len(posts(organisation)) == 1
    assert len(organisation.registrations.integrations) == 1


def test_two_of_one_name_are_refused_and_an_id_chooses(environment, organisation, file):
    run(environment)
    first = next(iter(organisation.registrations.webhooks))
    organisation.registrations.put_webhook({"name": "Custom", "target": {"url": "https://old.example"}})
    with pytest.raises(RegistrationError, match=first):
        run(environment)
    file.write_text(FILE.replace("[webhook]", f'[webhook]\nid = "{first}"').replace('"Custom"', '"Renamed"'))
    run(environment)
    assert organisation.registrations.webhooks[first]["name"] == "Renamed"
    assert len(organisation.registrations.webhooks) == 2


def test_one_that_stands_on_a_later_page_is_found(environment, organisation):
    run(environment)
    registrations = organisation.registrations
    ours = registrations.webhooks.popitem()[1]
    for number in range(150):
        registrations.put_webhook({"name": f"other {number}", "target": {"url": "https://other.example"}})
    registrations.webhooks[ours["id"]] = ours
    assert run(environment).output.count("is as configured") == 2


def test_an_integration_that_could_not_be_made_is_reported_and_a_platform_that_is_away_changes_nothing(
    environment, organisation
):
    organisation.inject_fault(Fault(503))
    with pytest.raises(PlatformUnavailableError, match="inin-correlation-id"):
        run(environment)
    assert not organisation.registrations.webhooks
    run(environment)
    the_only(organisation.registrations.integrations)["createStatus"] = "Error"
    with pytest.raises(RegistrationError, match="createStatus is Error"):
        run(environment)


FILTER = "channel.externalId == 'a'"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "url"),
        (f'url = "{URL}"', r"\[webhook\] or \[integration\]"),
        (FILE.replace("https://", "http://"), "url: must be https"),
        (FILE.replace("https://", "https://user:pass@"), "url: must be https"),
        (FILE + "typo = 1", r"webhook.filters.0.typo: Unknown field"),
        (FILE.replace('"Custom"', "7"), "webhook.name"),
        (FILE + "[webhook.retry_policy]\nmax_retries = -1", "webhook.retry_policy.max_retries"),
        ("url = ", "invalid TOML"),
        (FILE.replace("externalId", "externalID"), r".*conversation:new: channel\.externalID is not a field"),
        (FILE.replace(":new", ":updated"), ".*accepts every update"),
    ],
)
def test_a_malformed_file_is_refused_by_name_before_the_platform_has_anything(
    environment, organisation, file, text, expected
):
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=f"OM_REGISTRATION: {expected}"):
        run(environment)
    assert not organisation.registrations.webhooks


@pytest.mark.parametrize(
    ("old", "new", "warning"),
    [
        (
            FILTER,
            "channel.type == 'custom'",
            "the filter of openmessaging:conversation:new accepts the",
        ),
        ("api.example", "api.example:8443", "url names port 8443"),
    ],
)
def test_a_file_that_an_operator_may_not_want_is_registered_with_a_warning(
    environment, file, old, new, warning
):
    file.write_text(FILE.replace(old, new))
    result = run(environment)
    assert f"Warning: {warning}" in result.stderr
    assert "was created and verified" in result.stdout


def test_the_example_is_registered_without_a_warning(environment):
    example = Path(__file__).parents[3] / "deploy" / "registration.example.toml"
    result = run(environment | {"OM_REGISTRATION": str(example)})
    assert result.stdout.count("was created and verified") == 2
    assert "Warning" not in result.stderr


def test_a_secret_too_short_for_the_platform_is_refused(environment):
    with pytest.raises(ConfigurationError, match="OM_WEBHOOK_SECRETS"):
        run(environment | {"OM_WEBHOOK_SECRETS": "short"})


def test_a_webhook_of_which_the_edge_would_accept_no_event_is_not_registered(environment, organisation, file):
    signed_only = environment | {"OM_ALLOW_UNSIGNED": "false"}
    with pytest.raises(ConfigurationError, match="refuse its events"):
        run(signed_only)
    assert not organisation.registrations.webhooks

    file.write_text(FILE.partition("[webhook]")[0])
    assert "was created and verified" in run(signed_only).output
