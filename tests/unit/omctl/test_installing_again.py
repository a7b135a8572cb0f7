"""A second installation keeps existing credentials, and restarts a listening socket only if necessary."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from omctl import install as command
from omctl.installing import credentials, gateway, removal, units
from omctl.installing.options import Options
from omctl.installing.steps import run_steps

OWN = Path("/etc/ssl/hooks.pem"), Path("/etc/ssl/hooks.key")


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """An empty directory for credentials."""
    monkeypatch.setattr(credentials, "CREDENTIALS", tmp_path)
    given = {
        "OM_WEBHOOK_SECRETS": (tmp_path / "OM_WEBHOOK_SECRETS",),
        "OM_AMQP_URL": (tmp_path / "edge" / "OM_AMQP_URL", tmp_path / "worker" / "OM_AMQP_URL"),
        "OM_GENESYS_CLIENT_SECRET": (tmp_path / "OM_GENESYS_CLIENT_SECRET",),
    }
    monkeypatch.setattr(credentials, "VARIABLES", given)
    return tmp_path


def install(monkeypatch, **environment):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return [(state, title) for title, state in run_steps(credentials.given_steps(), dry_run=False)]


def test_a_retired_secret_is_not_restored_and_this_is_reported(kept, monkeypatch):
    install(monkeypatch, OM_WEBHOOK_SECRETS="constructed-old")
    (kept / "OM_WEBHOOK_SECRETS").write_text("constructed-new\n")
    [(state, title)] = install(monkeypatch, OM_WEBHOOK_SECRETS="constructed-old")
    assert (kept / "OM_WEBHOOK_SECRETS").read_text() == "constructed-new\n"
    assert (state, "constructed" in title) == ("kept", False)
    assert title.endswith("differs from OM_WEBHOOK_SECRETS: omctl rotate-secret changes it")


def test_existing_credentials_stay_and_missing_or_empty_ones_are_written(kept, monkeypatch):
    (kept / "edge").mkdir()
    (kept / "edge" / "OM_AMQP_URL").write_text("amqp://less\n")
    (kept / "OM_GENESYS_CLIENT_SECRET").write_text("\n")
    given = {"OM_AMQP_URL": "amqp://all", "OM_GENESYS_CLIENT_SECRET": "constructed"}
    assert [state for state, _ in install(monkeypatch, **given)] == ["kept", "done", "done"]
    assert [state for state, _ in install(monkeypatch, **given)] == ["kept", "up to date", "up to date"]
    paths = ("edge/OM_AMQP_URL", "worker/OM_AMQP_URL", "OM_GENESYS_CLIENT_SECRET")
    assert [(kept / path).read_text() for path in paths] == ["amqp://less\n", "amqp://all\n", "constructed\n"]


def test_the_database_address_of_the_reader_is_written_when_a_host_becomes_a_worker(kept, monkeypatch):
    names = ("GENESYS_SECRET", "REQUIRED_HEADERS", "EVENTS_HEADERS", "EDGE_MANAGEMENT", "WEBHOOK_SECRETS")
    for name in (*names, "READER_DATABASE", "WORKER_DATABASE"):
        monkeypatch.setattr(credentials, name, kept / name)
    list(run_steps(credentials.missing_steps(), dry_run=False))
    assert not (kept / "READER_DATABASE").exists()
    (kept / "WORKER_DATABASE").write_text("postgresql://named\n")
    list(run_steps(credentials.missing_steps(), dry_run=False))
    assert (kept / "READER_DATABASE").read_text() == "postgresql://named\n"


@pytest.fixture
def written_site(tmp_path, monkeypatch):
    """The path of the gateway's configuration."""
    for module in (gateway, removal):
        monkeypatch.setattr(module, "SITE", tmp_path / "site.conf")
        monkeypatch.setattr(module, "REMOVED_SITE", tmp_path / "open-messaging" / "removed.conf")
    return tmp_path / "site.conf"


def test_a_given_certificate_replaces_the_self_signed_one_and_stays_until_another_is_given(written_site):
    assert gateway.find_certificate(Options()) == (gateway.CERTIFICATE, gateway.KEY)
    assert "make a self-signed certificate" in [step.title for step in gateway.gateway_steps(Options())]
    written_site.write_text(gateway.render_site(Options(certificate=OWN)))
    other = Path("/etc/ssl/other.pem"), Path("/etc/ssl/other.key")
    assert gateway.find_certificate(Options()) == OWN
    assert gateway.find_certificate(Options(certificate=other)) == other
    assert "ssl_certificate_key /etc/ssl/hooks.key;" in gateway.render_site(Options())
    reported = [
        title for title, state in run_steps(gateway.gateway_steps(Options()), dry_run=True) if state == "kept"
    ]
    assert reported == ["the certificate /etc/ssl/hooks.pem of an earlier --certificate"]


def test_an_installation_after_a_removal_finds_the_given_certificate(written_site):
    written_site.write_text(gateway.render_site(Options(certificate=OWN)))
    [step] = [step for step in removal.plan_removal(purge=False) if str(written_site) in step.title]
    assert [state for _, state in run_steps([step, step], dry_run=False)] == ["done", "up to date"]
    assert not written_site.exists()
    assert gateway.find_certificate(Options()) == OWN
    # The moved file must then be deleted: otherwise, a later installation would use the old certificate.
    titles = [step.title for step in gateway.gateway_steps(Options())]
    assert titles.index(f"delete {gateway.REMOVED_SITE}") == titles.index(f"write {written_site}") + 1


def test_the_gateway_uses_the_settings_of_the_units(tmp_path, monkeypatch):
    settings = tmp_path / "environment"
    settings.write_text("OM_MAX_BODY_BYTES=4096\n")
    sites = []
    monkeypatch.setattr(command, "ENVIRONMENT", settings)
    monkeypatch.setattr(
        command, "plan_installation", lambda options: sites.append(gateway.render_site(options)) or ()
    )
    # Set the variable first, so that monkeypatch undoes the command's change at the end.
    monkeypatch.setenv("OM_SETTINGS_FILE", "")
    del os.environ["OM_SETTINGS_FILE"]
    CliRunner().invoke(command.install, ["--dry-run"], catch_exceptions=False)
    assert "client_max_body_size 4096;" in sites[0]


@pytest.mark.parametrize(
    ("since", "verb"), [("@1000", "restart"), ("@1001", "start"), ("@1002", "start"), ("", "start")]
)
def test_a_listening_socket_is_restarted_if_its_unit_was_written_after_its_start(
    tmp_path, monkeypatch, since, verb
):
    (tmp_path / "om-api.socket").touch()
    os.utime(tmp_path / "om-api.socket", (1001.9, 1001.9))
    commands = []
    monkeypatch.setattr(units, "UNITS", tmp_path)
    monkeypatch.setattr(units, "run", lambda command: commands.append(command) or f"{since}\n")
    [step] = [step for step in units.start_steps(Options()) if "om-api.socket" in step.title]
    step.do()
    assert commands[-1] == f"systemctl {verb} om-api.socket"
