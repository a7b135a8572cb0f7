"""A later installation takes the options that it is not given from an earlier one, and says so."""

import os

import pytest
from click.testing import CliRunner

from omctl.commands import install as command
from omctl.installing import InstallationError, Options, cluster, credentials, gateway, kept_options, removal
from omctl.installing.installation import plan_installation

HOSTS = f"{Options().host},om-2,om-3"


class Host:
    """A host on which broker and database are named: only what concerns the options is carried out."""

    def __init__(self, root):
        self.file = root / "open-messaging" / "installation.toml"
        self.options = None

    def plan(self, options):
        self.options = options
        steps = plan_installation(options)
        return [step for step in steps if step.standing == "kept" or str(self.file) in step.title]

    def install(self, *arguments):
        """Run the command and return what it told; raises what it raises."""
        return CliRunner().invoke(command.install, arguments, catch_exceptions=False).stderr.splitlines()

    def told(self, *arguments):
        return [line for line in self.install(*arguments) if line.startswith("kept: --")]


@pytest.fixture
def host(tmp_path, monkeypatch):
    host = Host(tmp_path)
    monkeypatch.setattr(kept_options, "KEPT", host.file)
    monkeypatch.setattr(gateway, "SITE", tmp_path / "site.conf")
    monkeypatch.setattr(credentials, "are_there", lambda _: True)
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
def test_an_option_holds_until_its_default_is_given(host, given, default):
    host.install(*given)
    first = host.options

    [told] = host.told()
    assert told.startswith(f"kept: {' '.join(given)} of an earlier installation; {default[0]} ")
    assert kept_options.words_of(host.options) == kept_options.words_of(first)

    host.install(*default)
    assert host.options == Options()
    assert not host.told()


def test_an_edge_stays_an_edge(host):
    host.install("--role", "edge", "--server-name", "hooks.example.com")

    assert len(host.told()) == 2
    assert (host.options.is_edge, host.options.is_worker) == (True, False)
    host.install("--role", "edge", "--role", "worker")
    assert (host.options.is_edge, host.options.is_worker) == (True, True)


def test_an_option_that_is_given_again_is_written_in_the_place_of_the_other(host):
    host.install("--bind", "127.0.0.1:8081", "--workers", "4")

    told = host.install("--bind", "127.0.0.1:8082")

    assert [line.partition(" of an")[0] for line in told] == [
        "kept: --workers 4",
        f"done: write {host.file}",
    ]
    assert host.file.read_text() == kept_options.text_of(Options(bind="127.0.0.1:8082", workers=4))


def test_the_file_is_for_everybody_to_read_and_says_who_writes_it(host):
    host.install("--role", "edge", "--server-name", "hooks.example.com")

    *comment, role, name = host.file.read_text().splitlines()
    assert "Written by omctl install" in " ".join(comment)
    assert (role, name) == ('role = "edge"', 'server-name = "hooks.example.com"')
    assert host.file.stat().st_mode & 0o777 == 0o644


def test_a_dry_run_tells_the_same_and_writes_nothing(host):
    told = host.install("--role", "edge", "--dry-run")
    assert told == [f"would be done: write {host.file}"]
    assert not host.file.exists()

    host.install("--role", "edge")
    assert host.told("--dry-run") == host.told() != []


def test_nothing_is_inferred_where_an_installation_from_before_has_kept_nothing(host):
    host.install()

    assert host.options == Options()


@pytest.mark.parametrize(
    "content",
    [
        b"role =",
        b"\xff",
        b'role = "queen"',
        b'role = ["edge"]',
        b'workers = "4"',
        b"workers = true",
        b"workers = -1",
        b"cluster = 3",
        b'colour = "red"',
    ],
)
def test_what_cannot_be_used_is_named_with_the_way_out(host, content):
    host.file.parent.mkdir()
    host.file.write_bytes(content)

    with pytest.raises(InstallationError, match="mend it, or delete it and give every option") as raised:
        host.install("--role", "edge")
    assert str(raised.value).startswith(str(host.file))
    assert host.file.read_bytes() == content


def test_what_could_not_be_begun_is_not_kept(host, monkeypatch):
    monkeypatch.setattr(credentials, "are_there", lambda _: False)

    with pytest.raises(InstallationError, match="OM_AMQP_URL"):
        host.install("--role", "edge")
    with pytest.raises(InstallationError, match="does not name"):
        host.install("--cluster", "other-1,other-2")
    assert not host.file.exists()


def test_a_host_of_the_cluster_takes_the_options_that_were_copied_to_it(host):
    host.file.parent.mkdir()
    first = Options(cluster=("om-1", Options().host), server_name="hooks.example.com", workers=4, host="om-1")
    host.file.write_text(kept_options.text_of(first))

    arguments = ("--cluster", f"om-1,{Options().host}", "--server-name", "hooks.example.com")
    [told] = host.told(*arguments)

    assert told.startswith("kept: --workers 4 ")
    assert (host.options.host, host.options.is_first) == (Options().host, False)
    assert host.file.read_text() == kept_options.text_of(first)


@pytest.mark.parametrize(
    ("earlier", "later", "way_out"),
    [
        (("--role", "edge"), ("--cluster", HOSTS), ("--role", "both")),
        (("--cluster", HOSTS), ("--role", "edge"), ("--cluster", "")),
    ],
)
def test_one_role_and_a_cluster_do_not_go_together_whichever_is_kept(host, earlier, later, way_out):
    host.install(*earlier)
    before = host.file.read_text()

    assert "say --role both, or --cluster ''." in "".join(host.install(*later))
    assert host.file.read_text() == before
    host.install(*later, *way_out)
    assert host.file.read_text() != before


def test_a_purge_takes_the_file_along():
    assert kept_options.KEPT.parent == removal.CONFIGURATION
