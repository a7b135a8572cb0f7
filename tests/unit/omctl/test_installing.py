"""Files and steps of an installation."""

import os
import re
import subprocess
import sys
from ipaddress import ip_address
from pathlib import Path

import pytest

from omctl import install
from omctl.install import plan_installation
from omctl.installing import broker, cluster, credentials, database, gateway
from omctl.installing.cluster import cluster_steps
from omctl.installing.gateway import NO_LIST, OPEN_FILES, format_nginx, raise_connections, render_site
from omctl.installing.options import DESTINATIONS, ENVIRONMENT, Options, Role
from omctl.installing.steps import InstallationError, file_step, run_steps, shipped
from omctl.installing.units import EDGE_UNITS, WORKER_UNITS, environment_text, program_text, render_unit
from workers.parsing import CONVERSATION_UPDATED, EVENT_TYPES, DriftNotes, read_body

DOCS = Path(__file__).parents[3] / "docs"
OPTIONS = Options(
    prefix=Path("/opt/open-messaging/1"), bind="127.0.0.1:9000", server_name="hooks.example.com"
)
SERVICES = [name for name in (*EDGE_UNITS, *WORKER_UNITS) if name.endswith(".service")]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_runs_the_installed_programs_and_restarts_unless_a_setting_is_refused(name):
    unit = render_unit(name, OPTIONS)
    programs = re.findall(r"^ExecStart=[+-]*(.*)", unit, re.MULTILINE)
    assert programs[0].startswith("/opt/open-messaging/1/bin/")
    assert all(program.startswith(("/opt/open-messaging/1/bin/", "/usr/bin/")) for program in programs)
    if "Type=oneshot" not in unit:
        needed = ("Restart=always", "StartLimitIntervalSec=0", "RestartPreventExitStatus=78")
        assert all(f"\n{line}\n" in unit for line in needed)


def test_stopping_the_workers_target_stops_the_units_that_it_starts():
    target = "om-workers.target"
    texts = [render_unit(name, Options()) for name in WORKER_UNITS]
    started = [text for text in texts if f"WantedBy={target}" in text]
    assert started
    assert all(f"PartOf={target}" in text.splitlines() for text in started)


def test_the_gateway_passes_requests_to_the_edge_and_includes_the_operators_file():
    text = render_site(OPTIONS)
    assert text.count("server 127.0.0.1:9000 max_fails=0;") == 2
    assert "server_name hooks.example.com;" in text
    assert "include /etc/nginx/open-messaging-local*.conf;" in text
    assert "/etc/nginx/open-messaging-local.conf" in (DOCS / "install.md").read_text()
    assert "@" not in text.replace("@too_many", "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "events { worker_connections 768; }",
            f"worker_rlimit_nofile {OPEN_FILES};\nevents {{ worker_connections 8192; }}",
        ),
        ("worker_rlimit_nofile 9;\nevents { worker_connections\t10000; }", None),
    ],
)
def test_nginx_gets_enough_connections_and_keeps_larger_numbers(text, expected):
    assert raise_connections(text) == (expected or text)
    assert raise_connections(raise_connections(text)) == raise_connections(text)


def test_the_settings_file_is_written_with_every_setting_commented_out():
    assert not [line for line in environment_text().splitlines() if line.startswith("OM_")]


SETTINGS = """\
OM_EVENT_FILTER=channel.type == 'custom' && channel.externalId == 'one'
OM_EVENTS_HEADERS=Authorization=Basic c2VjcmV0
"""


@pytest.fixture
def program(tmp_path):
    """The installed omctl script, which runs a stand-in that prints its environment and a setting."""
    inner = tmp_path / "bin" / "omctl"
    inner.parent.mkdir()
    inner.write_text(f"#!/bin/sh\nprintenv\nexec {sys.executable} -c '{SHOW_FILTER}'\n")
    inner.chmod(0o755)
    settings = tmp_path / "environment"
    settings.write_text(SETTINGS)
    return program_text(Options(prefix=tmp_path)).replace(str(ENVIRONMENT), str(settings))


def test_the_installed_omctl_reads_the_destinations_of_om_deliver_and_their_secrets(program, tmp_path):
    (tmp_path / "bin" / "omctl").write_text(f"#!/bin/sh\nexec {sys.executable} -c '{SHOW_DESTINATIONS}'\n")
    file, owner, other = (tmp_path / name for name in ("destinations.toml", "owner", "other.toml"))
    text = program.replace(str(DESTINATIONS), str(file)).replace(str(credentials.OWNER), str(owner))
    assert run_program(text, "destinations") == "()\n"
    file.write_text(shipped("destinations.example.toml"))
    owner.mkdir()
    (owner / "crm-secret").write_text("whsec_Y29uc3RydWN0ZWQ=\n")
    assert "name='crm'" in run_program(text, "destinations")
    other.write_text(file.read_text().replace("destinations.crm", "destinations.other"))
    assert "name='other'" in run_program(text, "destinations", OM_DESTINATIONS=str(other))


SHOW_DESTINATIONS = """\
from messaging.environment import Environment
from workers.deliver import configured_destinations
print(configured_destinations(Environment()))
"""
SHOW_FILTER = 'from messaging.environment import Environment; print(Environment().string("OM_EVENT_FILTER"))'


def run_program(text, command, **variables):
    return subprocess.run(
        ["sh", "-c", text, "omctl", command],
        capture_output=True, text=True, check=True, env={**os.environ, **variables},
    ).stdout  # fmt: skip


@pytest.mark.parametrize(("command", "has_them"), [("check", True), ("install", False), ("uninstall", False)])
def test_the_installed_omctl_hides_the_owners_credentials_from_an_installation(program, command, has_them):
    assert ("CREDENTIALS_DIRECTORY=" in run_program(program, command)) is has_them


def test_the_installed_omctl_reads_the_units_settings_and_queries_the_edge_at_its_socket(program):
    shown = run_program(program, "check", OM_EVENT_FILTER="of the environment")
    assert shown.endswith("\nchannel.type == 'custom' && channel.externalId == 'one'\n")
    assert 'OM_BIND="${OM_BIND:-127.0.0.1:9000}"' in program_text(OPTIONS)


def test_a_file_is_written_if_it_is_missing_or_differs_unless_changes_stay(tmp_path):
    path = tmp_path / "new" / "file"

    def write(*, dry_run=False, changes_stay=False):
        step = file_step(path, lambda: "ours", mode=0o640, changes_stay=changes_stay)
        [(_, state)] = run_steps([step], dry_run=dry_run)
        return state, path.read_text() if path.exists() else None

    assert write(dry_run=True) == ("would be done", None)
    assert write(changes_stay=True) == ("done", "ours")
    assert path.stat().st_mode & 0o777 == 0o640
    assert write() == ("up to date", "ours")
    path.write_text("mine")
    assert write(changes_stay=True) == ("up to date", "mine")
    assert write() == ("done", "ours")


CLUSTER = ("om-1", "om-2", "om-3")


@pytest.fixture
def host(tmp_path, monkeypatch):
    """A bare host: nothing is installed and nothing kept."""
    monkeypatch.setattr(cluster, "is_installed", lambda _: False)
    monkeypatch.setattr(broker, "is_installed", lambda _: False)
    monkeypatch.setattr(cluster, "STORED_COOKIE", tmp_path / "cookie")
    return tmp_path


def test_the_first_host_of_a_cluster_has_the_database_and_the_others_join_its_broker(host, monkeypatch):
    def titles(host):
        return {step.title for step in cluster_steps(Options(cluster=CLUSTER, host=host))}

    shared = {
        "store the cluster's cookie",
        "let PostgreSQL accept the cluster's hosts",
        "make the cluster's certificate",
    }
    assert shared <= titles("om-1")
    with pytest.raises(InstallationError, match="copy /etc/open-messaging from om-1"):
        titles("om-2")
    monkeypatch.setattr(credentials, "exist", lambda _: True)
    assert "join the broker of om-1" in titles("om-2") - titles("om-1")
    assert not (shared | {"install postgresql"}) & titles("om-2")
    with pytest.raises(InstallationError, match="called db-7"):
        titles("db-7")


@pytest.mark.parametrize("roles", [{Role.EDGE}, {Role.WORKER}, set(Role)])
def test_broker_and_database_are_not_installed_if_the_environment_names_them(host, monkeypatch, roles):
    monkeypatch.setenv("OM_AMQP_URL", "amqps://elsewhere:5671/%2F")
    monkeypatch.setenv("OM_DATABASE_URL", "postgresql+psycopg://elsewhere/events")
    found = [step.title for step in plan_installation(Options(roles=frozenset(roles)))]
    assert not {"install rabbitmq-server", "install postgresql"} & set(found)


def test_postgresql_accepts_only_the_current_addresses_of_the_cluster(monkeypatch):
    hosts = [ip_address("10.0.0.2"), ip_address("fd00::3")]
    monkeypatch.setattr(Options, "other_addresses", lambda _: hosts)
    before = "local all all peer\n# Open Messaging Ingest: the other hosts\nhostssl x y samenet z\n"
    users = "open_messaging open_messaging_owner,open_messaging,open_messaging_reader"
    text = database.render_access(before, Options(cluster=CLUSTER, host="om-1"))
    assert text.splitlines()[0] == "local all all peer"
    assert text.splitlines()[2:] == [
        f"hostssl {users} samehost scram-sha-256",
        f"hostssl {users} 10.0.0.2/32 scram-sha-256",
        f"hostssl {users} fd00::3/128 scram-sha-256",
    ]
    assert database.render_access(text, Options(cluster=CLUSTER, host="om-1")) == text


def test_the_clusters_certificate_is_valid_for_each_host_of_the_cluster_only(tmp_path, monkeypatch):
    monkeypatch.setattr(credentials, "CLUSTER", tmp_path / "cluster")
    monkeypatch.setattr(credentials, "CREDENTIALS", tmp_path)
    credentials.make_certificate("om-1,om-2")
    kept = tmp_path / "cluster"
    verify = ["openssl", "verify", "-x509_strict", "-CAfile", kept / "authority.pem", "-verify_hostname"]
    for host, is_named in {"om-1": True, "om-2": True, "om-3": False}.items():
        done = subprocess.run([*verify, host, kept / "certificate.pem"], check=False)
        assert (not done.returncode) is is_named
    assert sorted(path.name for path in kept.iterdir()) == sorted(credentials.CERTIFICATE_FILES)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (Options(), "tcp dport { 4369, 25672 } iif != lo jump hosts"),
        (Options(cluster=CLUSTER, host="om-1"), "set cluster4 { type ipv4_addr; elements = { 10.0.0.2 }; }"),
    ],
)
def test_the_firewall_closes_the_brokers_ports_to_hosts_outside_the_cluster(
    options, expected, tmp_path, monkeypatch
):
    monkeypatch.setattr(gateway, "LISTENERS", tmp_path)
    monkeypatch.setattr(Options, "other_addresses", lambda _: [ip_address("10.0.0.2")])
    assert expected in gateway.firewall_rules(options)
    assert "@" not in re.sub(
        r"@(platform|trusted|senders|cluster)[46]\b", "", gateway.firewall_rules(options)
    )


def test_each_host_of_a_cluster_tries_its_own_broker_first():
    one, two, three = (f"amqp://u:p@{name}:5672/%2F" for name in CLUSTER)
    assert cluster.put_own_first(f"{one},{two},{three}\n", "om-2") == f"{two},{one},{three}"
    assert cluster.put_own_first("amqp://u:p@elsewhere:5672/%2F\n", "om-2") == "amqp://u:p@elsewhere:5672/%2F"


def test_a_certificate_contains_an_ip_address_as_such():
    names = ("hooks.example.com", "10.0.0.1", "::1")
    assert [gateway.name_type(name) for name in names] == ["DNS", "IP", "IP"]


def test_the_installations_test_event_is_recorded_without_an_effect():
    [event] = read_body(install.render_event("omctl-install-1"), notes := DriftNotes(), EVENT_TYPES)
    assert (event.conversation_id, event.event_type) == ("omctl-install-1", CONVERSATION_UPDATED)
    assert event.skip == "other_medium"
    assert not notes.pending()


def test_the_installations_test_event_has_the_headers_that_the_edge_requires(tmp_path, monkeypatch):
    secrets = tmp_path / "secrets"
    secrets.write_text("constructed-new,constructed-old\n")
    monkeypatch.setattr(credentials, "WEBHOOK_SECRETS", secrets)
    monkeypatch.setenv("OM_REQUIRED_HEADERS", "X-Webhook-Source=genesys-cloud,X-Custom-Channel=one")
    headers = install.request_headers(b"body")
    assert (headers["x-webhook-source"], headers["x-custom-channel"]) == ("genesys-cloud", "one")
    assert headers["X-Hub-Signature-256"].startswith("sha256=")
    assert all("    127.0.0.1 1;\n" in written for written in (NO_LIST, format_nginx([], "a day")))
