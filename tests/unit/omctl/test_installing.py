"""An installation has the files and steps that its options, its role and its cluster require."""

import base64
import hashlib
import json
import os
import re
import socket
import subprocess
import sys
from ipaddress import ip_address
from pathlib import Path

import pytest

from omctl import install
from omctl.install import plan_installation
from omctl.installing import broker, cluster, credentials, database, gateway, steps, units
from omctl.installing.cluster import cluster_steps
from omctl.installing.credentials import certificate_step
from omctl.installing.gateway import NO_LIST, OPEN_FILES, format_nginx, raise_connections, render_site
from omctl.installing.options import BOTH, CONFIGURATION, ENVIRONMENT, Options, Role
from omctl.installing.steps import InstallationError, file_step, run_steps, shipped
from omctl.installing.units import EDGE_UNITS, WORKER_UNITS, environment_text, render_unit
from webhook_api.health import PLATFORM_LIST
from webhook_api.signature import sign
from workers.parsing import CONVERSATION_UPDATED, EVENT_TYPES, DriftNotes, read_body

DOCS = Path(__file__).parents[3] / "docs"
OPTIONS = Options(
    prefix=Path("/opt/open-messaging/1"), bind="127.0.0.1:9000", server_name="hooks.example.com"
)
SERVICES = [name for name in (*EDGE_UNITS, *WORKER_UNITS) if name.endswith(".service")]


def test_no_unit_may_dump_core_or_use_all_memory_or_all_tasks():
    limits = {"LimitCORE=0", "MemoryMax=50%", "TasksMax=512"}
    assert limits <= set(shipped("systemd/om-hardening.conf").splitlines())
    for name in SERVICES:
        assert name.startswith("om-")
        assert not re.search("^(LimitCORE|MemoryMax|TasksMax)=", render_unit(name, OPTIONS), re.MULTILINE)


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


FILES = f"worker_rlimit_nofile {OPEN_FILES};\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("events { worker_connections 768; }", f"{FILES}events {{ worker_connections 8192; }}"),
        ("worker_rlimit_nofile 99999;\nevents { worker_connections\t10000; }", None),
        (
            "events{\n#worker_connections 1;}",
            f"{FILES}events{{\nworker_connections 8192;\n#worker_connections 1;}}",
        ),
        (
            "#worker_rlimit_nofile 9;\nevents{}",
            f"{FILES}#worker_rlimit_nofile 9;\nevents{{worker_connections 8192;\n}}",
        ),
        ("worker_rlimit_nofile 9;\nevents{}", f"{FILES}events{{worker_connections 8192;\n}}"),
    ],
)
def test_nginx_gets_enough_connections_and_keeps_a_larger_configured_number(text, expected):
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
    """The installed omctl script; here it runs a fake omctl that prints its environment and a setting."""
    inner = tmp_path / "bin" / "omctl"
    inner.parent.mkdir()
    inner.write_text(f"#!/bin/sh\nprintenv\nexec {sys.executable} -c '{SHOW_FILTER}'\n")
    inner.chmod(0o755)
    settings = tmp_path / "environment"
    settings.write_text(SETTINGS)
    return render_unit("omctl.sh", Options(prefix=tmp_path)).replace(str(ENVIRONMENT), str(settings))


def test_the_installed_omctl_reads_the_destinations_of_om_deliver_and_their_secrets(program, tmp_path):
    (tmp_path / "bin" / "omctl").write_text(f"#!/bin/sh\nexec {sys.executable} -c '{SHOW_DESTINATIONS}'\n")
    file, owner, other = (tmp_path / name for name in ("destinations.toml", "owner", "other.toml"))
    text = program.replace(str(CONFIGURATION / file.name), str(file)).replace(
        str(credentials.OWNER), str(owner)
    )
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


def test_omctl_and_om_observe_use_the_units_settings_and_query_the_edge_at_its_socket(program):
    shown = run_program(program, "check", OM_EVENT_FILTER="of the environment")
    assert shown.endswith("\nchannel.type == 'custom' && channel.externalId == 'one'\n")
    text = render_unit("omctl.sh", OPTIONS)
    secrets = (credentials.WEBHOOK_SECRETS, credentials.GENESYS_SECRET)
    for value in ("127.0.0.1:9000", *secrets, credentials.REQUIRED_HEADERS, credentials.EVENTS_HEADERS):
        assert f':-{value}}}"\n' in text
    assert "\nEnvironment=OM_BIND=127.0.0.1:9000\n" in render_unit("om-observe.service", OPTIONS)


def test_a_file_is_written_if_it_is_missing_or_differs_unless_local_changes_are_kept(tmp_path):
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


HOSTS = ("om-1", "om-2", "om-3")
CLUSTER = ",".join(HOSTS)
FIRST = Options(cluster=CLUSTER, host="om-1")


@pytest.fixture
def host(tmp_path, monkeypatch):
    """A bare host on which no server is installed and no cookie is stored."""
    monkeypatch.setattr(cluster, "is_installed", lambda _: False)
    monkeypatch.setattr(broker, "is_installed", lambda _: False)
    monkeypatch.setattr(cluster, "STORED_COOKIE", tmp_path / "cookie")
    return tmp_path


def test_the_first_host_of_a_cluster_has_the_database_and_other_hosts_join_its_broker(host, monkeypatch):
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
    with pytest.raises(InstallationError, match="name, db-7, is not in --cluster"):
        titles("db-7")


@pytest.mark.parametrize("role", Role)
def test_the_firewall_can_be_requested_for_a_host_of_any_role(host, monkeypatch, role):
    monkeypatch.setattr(credentials, "exist", lambda _: True)
    options = Options(role=role, firewall=True)
    assert "load the firewall's rules" in [step.title for step in plan_installation(options)]


@pytest.mark.parametrize(("role", "unit"), [("worker", "om-api.socket"), ("edge", "om-workers.target")])
def test_a_host_does_not_drop_a_role_whose_services_would_go_on(host, monkeypatch, role, unit):
    monkeypatch.setattr(units, "UNITS", host)
    monkeypatch.setattr(credentials, "exist", lambda _: True)
    next(plan_installation(Options(role=role)))
    (host / unit).touch()
    next(plan_installation(Options()))
    expected = f"omctl uninstall.*bin/omctl install --role {role}"
    with pytest.raises(InstallationError, match=expected) as refused:
        next(plan_installation(Options(role=role)))
    assert ("let its journal drain" in str(refused.value)) == (role == "worker")


def test_a_server_reloads_the_clusters_certificate_if_the_previous_installation_failed_before_the_reload(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(credentials, "CLUSTER", tmp_path)
    monkeypatch.setattr(credentials.shutil, "chown", lambda *_: None)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    (tmp_path / "systemctl").write_text(f"#!/bin/sh\n[ $1 = is-active ] || cat {tmp_path}/new/key.pem\n")
    (tmp_path / "systemctl").chmod(0o755)
    step = certificate_step(tmp_path / "new", "postgres", "postgresql", "systemctl reload postgresql")
    for name in ("certificate.pem", "key.pem"):
        (tmp_path / name).write_text("new")
    step.do()
    assert not step.is_done()
    (tmp_path / "systemctl").write_text("#!/bin/sh\n[ $1 = is-active ]\n")
    with pytest.raises(InstallationError, match="systemctl reload postgresql"):
        step.do()
    (tmp_path / "systemctl").write_text("#!/bin/sh\nfalse\n")
    step.do()


def test_the_age_of_the_address_list_is_recorded_only_once_nginx_uses_the_list():
    *_, reload, last = re.findall(
        r"^ExecStart=(.*)$", render_unit("om-ipranges.service", OPTIONS), re.MULTILINE
    )
    assert "try-reload-or-restart nginx.service" in reload
    assert last.endswith(f"/fetched {PLATFORM_LIST}")


@pytest.mark.parametrize("role", [*Role, BOTH])
def test_broker_and_database_are_not_installed_if_the_environment_names_them(host, monkeypatch, role):
    monkeypatch.setenv("OM_AMQP_URL", "amqps://elsewhere:5671/%2F")
    monkeypatch.setenv("OM_DATABASE_URL", "postgresql+psycopg://elsewhere/events")
    found = [step.title for step in plan_installation(Options(role=role))]
    assert not {"install rabbitmq-server", "install postgresql"} & set(found)


def test_postgresql_accepts_only_the_current_addresses_of_the_cluster(monkeypatch):
    hosts = [ip_address("10.0.0.2"), ip_address("fd00::3")]
    monkeypatch.setattr(Options, "other_addresses", lambda _: hosts)
    before = "local all all peer\n# Open Messaging Ingest: the other hosts\nhostssl x y samenet z\n"
    users = "open_messaging open_messaging_owner,open_messaging,open_messaging_reader"
    text = database.render_access(before, FIRST)
    assert text.splitlines()[0] == "local all all peer"
    assert text.splitlines()[2:] == [
        f"hostssl {users} samehost scram-sha-256",
        f"hostssl {users} 10.0.0.2/32 scram-sha-256",
        f"hostssl {users} fd00::3/128 scram-sha-256",
    ]
    assert database.render_access(text, FIRST) == text


@pytest.mark.parametrize(
    ("listed", "has_guest"),
    [("guest\t[administrator]\nopen-messaging-edge\t[]\n", True), ("guests\t[]\n", False)],
)
def test_an_installation_deletes_the_brokers_guest_user(tmp_path, monkeypatch, listed, has_guest):
    done = []
    monkeypatch.setattr(broker, "LISTENERS", tmp_path)
    monkeypatch.setattr(broker, "is_installed", lambda _: True)
    monkeypatch.setattr(broker, "run", lambda _: listed)
    monkeypatch.setattr(steps, "run", done.append)
    [step] = [step for step in broker.server_steps(OPTIONS) if "guest" in step.title]
    step.do()
    assert (step.is_done(), done) == (not has_guest, ["rabbitmqctl --quiet delete_user guest"])


@pytest.fixture
def stored(monkeypatch):
    """The credentials that an installation would store."""
    stored = {}
    monkeypatch.setattr(credentials, "store", stored.__setitem__)
    return stored


def test_the_hosts_of_a_cluster_reach_each_other_only_over_verified_tls(stored, monkeypatch):
    monkeypatch.setattr(broker, "run", lambda _: "")
    monkeypatch.setattr(database, "run", lambda *_, **__: "")
    monkeypatch.setattr(database, "missing_roles", lambda _: [database.SERVICE])
    broker.users_step(FIRST).do()
    [create] = [step for step in database.database_steps(FIRST) if "its users" in step.title]
    create.do()
    assert re.findall(r"@([^,]+)", stored[credentials.WORKER_BROKER]) == [
        f"{host}:5671/%2F" for host in HOSTS
    ]
    assert all(url.startswith("amqps://") for url in stored[credentials.WORKER_BROKER].split(","))
    assert re.fullmatch(
        "https://[^,]*@om-1:15671(,https://[^,]*@om-[23]:15671){2}", stored[credentials.EDGE_MANAGEMENT]
    )
    _, _, query = stored[credentials.WORKER_DATABASE].partition("@om-1/open_messaging?")
    trusted = f"sslrootcert={credentials.TRUSTED}"
    assert set(query.split("&")) == {"sslmode=verify-full", "channel_binding=require", trusted}


def test_each_user_of_the_broker_gets_its_permissions_and_the_password_in_its_address(stored, monkeypatch):
    imported = []
    monkeypatch.setattr(
        broker, "run", lambda line: imported.append(json.loads(Path(line.split()[-1]).read_text()))
    )
    broker.users_step(Options()).do()
    [definitions] = imported
    names = [f"open-messaging-{user}" for user in broker.USERS]
    assert set(definitions) == {"users", "permissions"}
    own = r"^open-messaging(\..*)?$"
    rights = [("^$", "^open-messaging$", "^$"), ("^$", own, r"^open-messaging\..*$"), (own, own, own)]
    assert [
        (one["user"], (one["configure"], one["write"], one["read"])) for one in definitions["permissions"]
    ] == list(zip(names, rights, strict=True))
    assert [one["name"] for one in definitions["users"]] == names
    for definition, (address, management) in zip(definitions["users"], broker.USERS.values(), strict=True):
        password = re.search(rf"//{definition['name']}:([^@]+)@127.0.0.1:5672/", stored[address])[1]
        kept = base64.b64decode(definition["password_hash"])
        assert kept[4:] == hashlib.sha256(kept[:4] + password.encode()).digest()
        assert (definition["tags"], management in stored) in [(["management"], True), ([], False)]


def test_the_broker_of_a_cluster_listens_only_with_tls(tmp_path, monkeypatch):
    monkeypatch.setattr(broker, "LISTENERS", tmp_path / "listeners.conf")
    monkeypatch.setattr(broker, "is_installed", lambda _: False)
    [write] = [step for step in broker.server_steps(FIRST) if step.title.endswith("listeners.conf")]
    write.do()
    lines = (tmp_path / "listeners.conf").read_text().splitlines()
    listeners = {line for line in lines if re.match(r"listeners|management\.\w+\.port", line)}
    assert listeners == {
        "listeners.tcp = none",
        "listeners.ssl.default = 5671",
        "management.ssl.port = 15671",
    }


def test_a_host_of_the_cluster_without_an_address_is_reported(monkeypatch):
    def fail(*_):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(InstallationError, match="--cluster has no address: Name or service not known"):
        FIRST.other_addresses()


def test_the_clusters_certificate_is_valid_only_for_the_hosts_of_the_cluster(tmp_path, monkeypatch):
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
        (FIRST, "set cluster4 { type ipv4_addr; elements = { 10.0.0.2 }; }"),
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
    one, two, three = (f"amqp://u:p@{name}:5672/%2F" for name in HOSTS)
    assert cluster.put_own_first(f"{one},{two},{three}\n", "om-2") == f"{two},{one},{three}"
    assert cluster.put_own_first("amqp://u:p@elsewhere:5672/%2F\n", "om-2") == "amqp://u:p@elsewhere:5672/%2F"


def test_a_certificate_lists_an_ip_address_as_an_ip_address():
    names = ("hooks.example.com", "10.0.0.1", "::1")
    assert [gateway.name_type(name) for name in names] == ["DNS", "IP", "IP"]


def test_the_installations_test_event_is_recorded_without_an_effect():
    [event] = read_body(install.render_event("omctl-install-1"), notes := DriftNotes(), EVENT_TYPES)
    assert (event.conversation_id, event.event_type) == ("omctl-install-1", CONVERSATION_UPDATED)
    assert event.skip == "other_medium"
    assert not notes.pending()


def test_the_installations_test_event_has_the_headers_that_the_edge_requires(tmp_path, monkeypatch):
    (tmp_path / "OM_WEBHOOK_SECRETS").write_text("constructed-new,constructed-old\n")
    (tmp_path / "OM_REQUIRED_HEADERS").write_text("X-Webhook-Source=genesys-cloud,X-Custom-Channel=one\n")
    monkeypatch.setattr(credentials, "CREDENTIALS", tmp_path)
    monkeypatch.setattr(install, "ENVIRONMENT", tmp_path / "environment")
    for name in ("OM_REQUIRED_HEADERS", "OM_WEBHOOK_SECRETS"):
        monkeypatch.setenv(name, "of=the-shell")
    headers = install.request_headers(b"body")
    assert (headers["x-webhook-source"], headers["x-custom-channel"]) == ("genesys-cloud", "one")
    assert headers["X-Hub-Signature-256"] == sign(b"body", b"constructed-new")
    (tmp_path / "file").write_text("constructed-named,constructed-old\n")
    named = f"OM_WEBHOOK_SECRETS_FILE={tmp_path}/file\nOM_REQUIRED_HEADERS=X-Custom-Channel=two\n"
    (tmp_path / "environment").write_text(named)
    headers = install.request_headers(b"body")
    assert (headers.get("x-webhook-source"), headers["x-custom-channel"]) == (None, "two")
    assert headers["X-Hub-Signature-256"] == sign(b"body", b"constructed-named")
    assert all("    127.0.0.1 1;\n" in written for written in (NO_LIST, format_nginx([], "a day")))
