"""omctl register runs against the simulated platform."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from messaging.errors import ConfigurationError
from omctl.connect.register import RegistrationError, register
from simulator.platform import Fault
from workers.genesys import PlatformUnavailableError

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
def file(tmp_path):
    path = tmp_path / "registration.toml"
    path.write_text(FILE)
    return path


@pytest.fixture
def environment(platform, file):
    return platform | {
        "OM_REGISTRATION": str(file),
        "OM_WEBHOOK_SECRETS": f"{NEW},{OLD}",
        "OM_REQUIRED_HEADERS": f"X-Webhook-Source={HEADER}",
        "OM_ALLOW_UNSIGNED": "true",
    }


def run(environment, *arguments):
    result = CliRunner().invoke(register, arguments, env=environment)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    hidden = (NEW, OLD, HEADER, environment["OM_GENESYS_CLIENT_SECRET"])
    assert not [secret for secret in hidden if secret in result.output]
    return result


def the_only(registered):
    (content,) = registered.values()
    return content


def posts(organisation):
    return [request for request in organisation.requests if request.startswith("POST")]


def test_the_webhook_and_the_integration_are_created_with_every_field(environment, organisation):
    result = run(environment)
    assert result.output.count("was created and verified") == 2
    webhook = the_only(organisation.registrations.webhooks)
    assert webhook == {
        "id": webhook["id"],
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


def test_a_dry_run_shows_every_field_and_changes_nothing(environment, organisation):
    shown = run(environment, "--dry-run", "--json")
    assert not posts(organisation)
    registrations = {row["kind"]: row for row in json.loads(shown.output)["registrations"]}
    fields = {difference["field"]: difference for difference in registrations["webhook"]["differences"]}
    assert fields["target.url"] == {"field": "target.url", "registered": None, "configured": URL}
    assert fields["target.headers.x-webhook-source"]["configured"] == "not shown"


def test_every_kind_of_drift_is_reported_and_undone(environment, organisation):
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
    registrations = json.loads(checked.output)["registrations"]
    assert {difference["field"] for row in registrations for difference in row["differences"]} == {
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


def test_a_secret_that_the_edge_accepts_or_the_platform_hides_is_not_changed(environment, organisation):
    run(environment | {"OM_WEBHOOK_SECRETS": OLD})
    assert run(environment, "--check").exit_code == 0
    run(environment)
    assert the_only(organisation.registrations.integrations)[SECRET_FIELD] == OLD
    organisation.registrations.shows_secrets = False
    assert run(environment, "--check").exit_code == 0


def test_a_creation_whose_answer_is_lost_is_repeated_only_by_the_next_run(environment, organisation, file):
    file.write_text(FILE.partition("[webhook]")[0])
    # The edge would refuse a webhook's unsigned events, but this file has only an integration.
    environment["OM_ALLOW_UNSIGNED"] = "false"
    organisation.inject_fault(Fault(504), method="POST")
    with pytest.raises(RegistrationError, match="run the command again"):
        run(environment)
    assert not organisation.registrations.integrations
    organisation.inject_fault(Fault(504, is_carried_out=True), method="POST")
    assert "was created and verified" in run(environment).output
    assert len(posts(organisation)) == 1
    assert len(organisation.registrations.integrations) == 1


def test_two_registrations_with_the_same_name_are_refused_unless_an_id_is_configured(
    environment, organisation, file
):
    run(environment)
    first = next(iter(organisation.registrations.webhooks))
    organisation.registrations.put_webhook({"name": "Custom", "target": {"url": "https://old.example"}})
    with pytest.raises(RegistrationError, match=first):
        run(environment)
    file.write_text(FILE.replace("[webhook]", f'[webhook]\nid = "{first}"').replace('"Custom"', '"Renamed"'))
    run(environment)
    assert organisation.registrations.webhooks[first]["name"] == "Renamed"
    assert len(organisation.registrations.webhooks) == 2


def test_an_unchanged_registration_is_found_on_a_later_page_and_not_written(environment, organisation):
    run(environment)
    registrations = organisation.registrations
    ours = registrations.webhooks.popitem()[1]
    for number in range(150):
        registrations.put_webhook({"name": f"other {number}", "target": {"url": "https://other.example"}})
    registrations.webhooks[ours["id"]] = ours
    before = len(organisation.requests)
    assert run(environment).output.count("is as configured") == 2
    assert all(request.startswith("GET") for request in organisation.requests[before:])


def test_an_unavailable_platform_and_a_failed_integration_are_reported(environment, organisation):
    organisation.inject_fault(Fault(503))
    with pytest.raises(PlatformUnavailableError, match="inin-correlation-id"):
        run(environment)
    assert not organisation.registrations.webhooks
    run(environment)
    the_only(organisation.registrations.integrations)["createStatus"] = "Error"
    with pytest.raises(RegistrationError, match="createStatus is Error"):
        run(environment)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "url"),
        (f'url = "{URL}"', r"\[webhook\] or \[integration\]"),
        (FILE.replace("https://", "http://"), "url: must be an https"),
        (FILE.replace("https://", "https://user:pass@"), "url: must be an https"),
        (FILE + "typo = 1", r"webhook.filters.0.typo: Unknown field"),
        (FILE.replace('"Custom"', "7"), "webhook.name"),
        (FILE + "[webhook.retry_policy]\nmax_retries = -1", "webhook.retry_policy.max_retries"),
        ("url = ", "invalid TOML"),
        (FILE.replace("externalId", "externalID"), r".*conversation:new: channel\.externalID is not a field"),
        (FILE.replace(":new", ":updated"), ".*accepts every update"),
    ],
)
def test_a_malformed_file_is_refused_before_anything_is_registered(
    environment, organisation, file, text, expected
):
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=f"OM_REGISTRATION: {expected}"):
        run(environment)
    assert not posts(organisation)


def test_a_wide_filter_and_an_unusual_port_are_registered_with_a_warning(environment, file):
    wide = FILE.replace("channel.externalId == 'a'", "channel.type == 'custom'")
    file.write_text(wide.replace("api.example", "api.example:8443"))
    result = run(environment)
    assert "Warning: the filter of openmessaging:conversation:new accepts the" in result.stderr
    assert "Warning: url names port 8443" in result.stderr
    assert "was created and verified" in result.stdout


def test_the_shipped_example_is_registered_without_a_warning(environment):
    example = Path(__file__).parents[3] / "deploy" / "registration.example.toml"
    result = run(environment | {"OM_REGISTRATION": str(example)})
    assert result.stdout.count("was created and verified") == 2
    assert "Warning" not in result.stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"OM_WEBHOOK_SECRETS": "short"}, "OM_WEBHOOK_SECRETS"),
        ({"OM_ALLOW_UNSIGNED": "false"}, "refuse its events"),
    ],
)
def test_a_short_secret_or_a_webhook_that_the_edge_would_refuse_is_not_registered(
    environment, organisation, change, message
):
    with pytest.raises(ConfigurationError, match=message):
        run(environment | change)
    assert not posts(organisation)
