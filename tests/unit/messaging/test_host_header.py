"""Only a Host header that names this host is accepted, so that another site cannot read our pages."""

import socket

import pytest

from messaging.host_header import is_own_host
from simulator.platform import Organisation
from simulator.platform.app import create_platform
from workers.observe import Probe, Probes, make_app

HOSTS = {
    "": True,
    "localhost": True,
    "LOCALHOST:8080": True,
    "edge:8080": True,
    "127.0.0.1": True,
    "[::1]:9464": True,
    "om-1.example.net:8080": True,
    "OM-1.Example.Net": True,
    "evil.example": False,
    "127.0.0.1.evil.example": False,
    "om-11.example.net": False,
    "evil.example.": False,
    "user@evil.example": False,
    "[::1": False,
    "[evil.example]": False,
}


@pytest.mark.parametrize("host", HOSTS)
def test_only_names_of_this_host_are_accepted(monkeypatch, host):
    monkeypatch.setattr(socket, "gethostname", lambda: "om-1")
    assert is_own_host(host) is HOSTS[host]


def test_a_host_named_localhost_does_not_accept_subdomains_of_localhost(monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "localhost")
    assert not is_own_host("localhost.evil.example")


def observe_app():
    none = Probe("none", lambda: None)
    return make_app(Probes(none, none, none, None, none))


APPLICATIONS = {
    "the simulator's page": (
        lambda: create_platform(Organisation("id", "secret")),
        "/page/state",
    ),
    "observe's page": (observe_app, "/"),
    "observe's metrics": (observe_app, "/metrics"),
}


@pytest.mark.parametrize("kind", APPLICATIONS)
def test_our_pages_are_refused_under_a_foreign_host_name(kind):
    make, path = APPLICATIONS[kind]
    client = make().test_client()
    answers = [client.get(path, base_url=f"http://{host}/") for host in ("evil.example:8080", "127.0.0.1")]
    assert answers[0].status_code == 400
    assert answers[1].status_code in {200, 302}
