"""omctl rotate-secret: have a new secret sign, without one refused event."""

import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import click
import requests

from messaging.environment import Environment
from messaging.errors import ConfigurationError
from omctl.connect.register import Registrar
from omctl.connect.registration import Configured, read_configured
from omctl.connect.rotation import (
    STEPS,
    EdgeAwayError,
    Facts,
    RotationError,
    RotationStep,
    SecretsFile,
    Signatures,
    Watch,
    next_step,
)
from omctl.connections import health_url, open_platform
from omctl.console import print_json, print_table
from omctl.options import change_options
from webhook_api.signature import secret_id

TIMEOUT_SECONDS: Final = 600.0
QUIET_SECONDS: Final = 120.0
"""The platform repeats a webhook for 85 s, and it is not documented whether it signs a repetition anew."""

POLL_SECONDS: Final = 1.0
"""How often the edges are asked; they update their reports as often."""
REQUEST_SECONDS: Final = 5.0

EXAMPLES: Final = """\b
Examples:
  omctl rotate-secret --dry-run
  omctl rotate-secret --reload "systemctl reload om-api"
  omctl rotate-secret --file /etc/open-messaging/credentials/OM_WEBHOOK_SECRETS \\
      --reload "systemctl restart om-api om-observe"
  omctl rotate-secret --edge http://10.0.0.5:8080 --edge http://10.0.0.6:8080 --reload ./spread-and-reload
"""


@click.command("rotate-secret", epilog=EXAMPLES)
@click.option(
    "--file", "path", type=click.Path(dir_okay=False, path_type=Path),
    help="The file to change instead of OM_WEBHOOK_SECRETS_FILE, such as the source of a systemd credential.",
)  # fmt: skip
@click.option("--edge", "edges", metavar="URL", multiple=True, help="Each edge. [default: that of OM_BIND]")
@click.option(
    "--reload", metavar="COMMAND", default="", help="Copies the file to the edges and reloads them."
)
@click.option("--quiet-seconds", type=click.FloatRange(0), default=QUIET_SECONDS, show_default=True)
@click.option("--wait-seconds", type=click.FloatRange(0), default=TIMEOUT_SECONDS, show_default=True)
@change_options
def rotate_secret(
    path: Path | None,
    edges: tuple[str, ...],
    reload: str,
    quiet_seconds: float,
    wait_seconds: float,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Replace the secret that signs the webhooks, while events arrive.

    There are six steps. The next one follows from the file, the edges and the platform, so the same command
    continues after an interruption or after a step that waited --wait-seconds in vain. The old secret is
    removed when events came with the new one, and none with the old one for --quiet-seconds: the platform
    repeats a webhook for 85 s.
    """
    environment = Environment()
    file = SecretsFile.find(path)
    urls = [f"{url.rstrip('/')}/health/ready" for url in edges] or [_find_own_edge(environment)]
    with open_platform(environment) as client:
        rotation = Rotation(
            file,
            urls,
            Registrar(client),
            _find_integration(environment, file),
            reload=reload,
            timeout=wait_seconds,
            quiet=quiet_seconds,
            report=lambda line: click.echo(line, err=as_json),
        )
        if dry_run:
            _show(next_step(rotation.read_facts()), as_json=as_json)
            return
        rotation.run()
    if as_json:
        print_json({"done": True})
    else:
        click.echo("The new secret signs, and it is the only one.")


def _find_own_edge(environment: Environment) -> str:
    url = health_url(environment.string("OM_BIND", "127.0.0.1:8080"))
    if url is None:
        raise ConfigurationError("OM_BIND is a socket file: name the edge's address by --edge")
    return url


def _find_integration(environment: Environment, file: SecretsFile) -> Configured:
    for configured in read_configured(environment, file.read()):
        if configured.kind == "integration":
            return configured
    raise ConfigurationError("OM_REGISTRATION: [integration] must be there: its secret is what changes")


def _show(following: RotationStep, *, as_json: bool) -> None:
    at = STEPS.index(following)
    states = ["done"] * at + ["next"] + ["to come"] * (len(STEPS) - at - 1)
    if as_json:
        steps = [
            {"step": step.name.lower(), "state": state} for step, state in zip(STEPS, states, strict=True)
        ]
        print_json({"steps": steps, "done": False})
    else:
        print_table(("step", ""), [(step.value, state) for step, state in zip(STEPS, states, strict=True)])


class Rotation:
    """One rotation of the secret; each step may end one run of the command and begin another.

    Args:
        file: The secrets file.
        urls: The readiness URLs of all edges that use the file or a copy of it.
        configured: The integration.
        reload: The shell command that brings the file to the edges; empty if an operator does it.
        timeout: Seconds that a step waits.
        quiet: Seconds without events under the old secret.
        report: Shows a line to the operator.
    """

    def __init__(
        self,
        file: SecretsFile,
        urls: Sequence[str],
        registrar: Registrar,
        configured: Configured,
        *,
        reload: str,
        timeout: float,
        quiet: float,
        report: Callable[[str], None],
    ) -> None:
        self._file = file
        self._urls = urls
        self._registrar = registrar
        self._configured = configured
        self._reload = reload
        self._timeout = timeout
        self._quiet = quiet
        self._report = report

    def read_facts(self) -> Facts:
        """Return the present state; blocks for some seconds."""
        found = self._registrar.find(self._configured)
        if found.content is None:
            raise RotationError("the integration is not registered: run `omctl register`")
        signing = None if found.secret is None else _id(found.secret)
        return Facts(tuple(map(_id, self._file.read())), signing, read_signatures(self._urls))

    def run(self) -> None:
        """Continue from the present state to the end; blocks for minutes."""
        first = next_step(self.read_facts())
        for step in STEPS[STEPS.index(first) :]:
            self._report(step.value)
            match step:
                case RotationStep.ADD:
                    self._file.add()
                case RotationStep.SPREAD | RotationStep.SETTLE:
                    self._spread()
                case RotationStep.SWITCH:
                    self._registrar.set_secret(self._configured, self._file.read()[0])
                case RotationStep.WATCH:
                    self._watch()
                case RotationStep.DROP:
                    self._file.keep_newest()

    def _spread(self) -> None:
        """Reload, then wait until every process accepts exactly the secrets in the file."""
        ids = tuple(map(_id, self._file.read()))
        if not self._reload:
            self._report(f"Copy {self._file.path} to every edge and reload it (SIGHUP); waiting for this")
        elif subprocess.run(self._reload, shell=True, check=False).returncode:  # noqa: S602  the operator's own
            raise RotationError("the command of --reload failed")
        self._wait(lambda edges: Facts(ids, None, edges).are_live(ids), "every edge to accept the secrets")

    def _watch(self) -> None:
        new, old = map(_id, self._file.read())
        watch = Watch(new, old, self._quiet, since=time.monotonic())
        self._wait(lambda edges: watch.is_over(edges, time.monotonic()), "events under the new secret alone")

    def _wait(self, is_done: Callable[[Signatures], bool], goal: str) -> None:
        deadline = time.monotonic() + self._timeout
        while True:
            with suppress(EdgeAwayError):
                if is_done(read_signatures(self._urls)):
                    return
            if time.monotonic() >= deadline:
                raise RotationError(
                    f"waited {self._timeout:.0f} s in vain for {goal}; no event is refused: run the command "
                    "again to continue"
                )
            time.sleep(POLL_SECONDS)


def read_signatures(urls: Sequence[str]) -> Signatures:
    """Return what each process of the edges has verified, by the readiness URLs of the edges."""
    found: dict[str, dict[str, int]] = {}
    for url in urls:
        try:
            processes = requests.get(url, timeout=REQUEST_SECONDS).json()["processes"]
        except (requests.RequestException, ValueError, KeyError, TypeError) as error:
            raise EdgeAwayError(f"the edge at {url} does not answer ({type(error).__name__})") from None
        found |= {f"{url} {process['pid']}": dict(process.get("signatures", {})) for process in processes}
    return found


def _id(secret: str) -> str:
    return secret_id(secret.encode())
