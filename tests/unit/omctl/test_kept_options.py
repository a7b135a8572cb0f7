"""An installation uses and reports the options that an earlier installation has saved."""

import os

import pytest
from click.testing import CliRunner

from omctl import install as command
from omctl.install import plan_installation
from omctl.installing import cluster, credentials, gateway
from omctl.installing import options as saved_options
from omctl.installing.options import Options, Role
from omctl.installing.steps import InstallationError

HOSTS = f"{Options().host},om-2,om-3"


class Host:
    """A host whose settings name a broker and a database; it runs only the steps about saved options."""

    def __init__(self, root):
        self.file = root / "open-messaging" / "installation.toml"
        self.options = None

    def plan(self, options):
        self.options = options
        steps = plan_installation(options)
        return [step for step in steps if step.state_if_done == "kept" or str(self.file) in step.title]

    def install(self, *arguments):
        """Run the command and return its report, or raise its error."""
        return CliRunner().invoke(command.install, arguments, catch_exceptions=False).stderr.splitlines()

    def reported(self, *arguments):
        return [line for line in self.install(*arguments) if line.startswith("kept: --")]


@pytest.fixture
def host(tmp_path, monkeypatch):
    host = Host(tmp_path)
    monkeypatch.setattr(saved_options, "SAVED", host.file)
    monkeypatch.setattr(gateway, "SITE", tmp_path / "site.conf")
    monkeypatch.setattr(credentials, "exist", lambda _: True)
    monkeypatch.setattr(cluster, "is_installed", lambda _: False)
    monkeypatch.setattr(command, "ENVIRONMENT", tmp_path / "environment")
    monkeypatch.setattr(command, "plan_installation", host.plan)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return host


@pytest.mark.parametrize(
    ("given", "default"),
    [
        (("--role", "edge"), ("--role", "both")),
        (("--role", "worker"), ("--role", "both")),
        (("--bind", "127.0.0.1:8081"), ("--bind", "127.0.0.1:8080")),
        (("--server-name", "hooks.example.com"), ("--server-name", "localhost")),
        (("--workers", "4"), ("--workers", "0")),
        (("--platform-only",), ("--no-platform-only",)),
        (("--firewall",), ("--no-firewall",)),
        (("--cluster", HOSTS), ("--cluster", "")),
    ],
)
def test_a_saved_option_applies_until_its_default_is_given(host, given, default):
    host.install(*given)
    first = host.options
    [line] = host.reported()
    assert line.startswith(f"kept: {' '.join(given)} of an earlier installation; {default[0]} ")
    assert host.options.values() == first.values()
    host.install(*default)
    assert host.options == Options()
    assert not host.reported()


def test_a_relative_link_to_a_certificate_becomes_absolute_and_is_not_resolved(host, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("fullchain", "privkey"):
        (tmp_path / f"{name}1.pem").touch()
        (tmp_path / f"{name}.pem").symlink_to(f"{name}1.pem")
    host.install("--certificate", "fullchain.pem", "privkey.pem")
    # certbot changes the links when it renews a certificate.
    assert host.options.certificate == (tmp_path / "fullchain.pem", tmp_path / "privkey.pem")


def test_a_newly_given_option_replaces_the_saved_option(host):
    host.install("--bind", "127.0.0.1:8081", "--workers", "4")
    reported = host.install("--bind", "127.0.0.1:8082")
    kept = ["kept: --workers 4", f"done: write {host.file}"]
    assert [line.partition(" of an")[0] for line in reported] == kept
    *comment, bind, workers = host.file.read_text().splitlines()
    assert "Written by omctl install" in " ".join(comment)
    assert (bind, workers) == ('bind = "127.0.0.1:8082"', "workers = 4")
    assert host.file.stat().st_mode & 0o777 == 0o644


def test_both_roles_can_be_requested_after_an_installation_of_a_single_role(host):
    host.install("--role", "edge")
    assert host.options.roles == {Role.EDGE}
    host.install("--role", "edge", "--role", "worker")
    assert host.options.roles == set(Role)


def test_a_dry_run_reports_the_same_steps_and_writes_nothing(host):
    assert host.install("--role", "edge", "--dry-run") == [f"would be done: write {host.file}"]
    assert not host.file.exists()
    host.install("--role", "edge")
    assert host.reported("--dry-run") == host.reported() != []


UNUSABLE = ["role =", "\xff", 'role = "queen"', 'role = ["edge"]', "workers = true", "workers = -1", "x = 1"]


@pytest.mark.parametrize("content", UNUSABLE)
def test_an_unusable_file_of_options_is_reported_with_the_remedy(host, content):
    host.file.parent.mkdir()
    host.file.write_bytes(content.encode("latin-1"))
    with pytest.raises(InstallationError, match="correct it, or delete it and give every option") as raised:
        host.install("--role", "edge")
    assert str(raised.value).startswith(str(host.file))
    assert host.file.read_bytes() == content.encode("latin-1")


def test_the_options_of_a_failed_installation_are_not_saved(host, monkeypatch):
    monkeypatch.setattr(credentials, "exist", lambda _: False)
    with pytest.raises(InstallationError, match="OM_AMQP_URL"):
        host.install("--role", "edge")
    with pytest.raises(InstallationError, match="is not in --cluster"):
        host.install("--cluster", "other-1,other-2")
    assert not host.file.exists()


def test_another_host_of_the_cluster_uses_the_options_that_were_copied_to_it(host):
    host.file.parent.mkdir()
    first = Options(cluster=f"om-1,{Options().host}", server_name="hooks.example.com", workers=4, host="om-1")
    host.file.write_text(saved_options.render_options(first))
    arguments = ("--cluster", f"om-1,{Options().host}", "--server-name", "hooks.example.com")
    [line] = host.reported(*arguments)
    assert line.startswith("kept: --workers 4 ")
    assert (host.options.host, host.options.is_first) == (Options().host, False)
    assert host.file.read_text() == saved_options.render_options(first)


@pytest.mark.parametrize(
    ("earlier", "later", "way_out"),
    [
        (("--role", "edge"), ("--cluster", HOSTS), ("--role", "both")),
        (("--cluster", HOSTS), ("--role", "edge"), ("--cluster", "")),
    ],
)
def test_a_single_role_and_a_cluster_exclude_each_other_in_either_order(host, earlier, later, way_out):
    host.install(*earlier)
    before = host.file.read_text()
    assert "give --role both, or --cluster ''." in "".join(host.install(*later))
    assert host.file.read_text() == before
    host.install(*later, *way_out)
    assert host.file.read_text() != before
