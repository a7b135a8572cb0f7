"""omctl rotate-secret: replace the signing secret without refusing an event."""

import secrets
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click
import requests

from messaging.environment import Environment
from messaging.errors import ConfigurationError
from omctl.connect import rotation as plan
from omctl.connect.register import find_registered, set_secret
from omctl.connect.registration import SECRET, Configured, read_configured
from omctl.connect.rotation import Facts, RotationError, RotationStep, Signatures, next_step
from omctl.connections import health_url, open_platform
from omctl.interface import Command, change_options, is_json, print_table, show_json
from webhook_api.signature import DIGEST_BYTES, secret_id
from workers.genesys import GenesysClient

TIMEOUT_SECONDS: Final = 600.0
QUIET_SECONDS: Final = 120.0
"""The platform repeats a webhook for 85 s. It is not documented whether it signs each repetition anew."""

POLL_SECONDS: Final = 1.0
"""The time between two queries to the edges, which update their reports at the same interval."""
REQUEST_SECONDS: Final = 5.0


@click.command("rotate-secret", cls=Command)
@click.option(
    "--file", "path", type=click.Path(dir_okay=False, path_type=Path),
    help="The file to change instead of OM_WEBHOOK_SECRETS_FILE, such as the source of a systemd credential.",
)  # fmt: skip
@click.option("--edge", "edges", metavar="URL", multiple=True, help="Each edge. [default: that of OM_BIND]")
@click.option(
    "--reload", metavar="COMMAND", default="", help="Copies the file to the edges and reloads them."
)
@click.option("--quiet-seconds", "quiet", type=click.FloatRange(0), default=QUIET_SECONDS, show_default=True)
@click.option(
    "--wait-seconds", "timeout", type=click.FloatRange(0), default=TIMEOUT_SECONDS, show_default=True
)
@change_options
def rotate_secret(*, path: Path | None, edges: tuple[str, ...], dry_run: bool, **options: Any) -> None:
    r"""Replace the secret that signs the webhooks, while events arrive.

    There are six steps. The next one follows from the file, the edges and the platform, so the same command
    continues after an interruption or after a step that waited --wait-seconds in vain. The old secret is
    removed once events have arrived with the new one, and none with the old one for --quiet-seconds: the
    platform repeats a webhook for 85 s.

    Examples:
      omctl rotate-secret --dry-run
      omctl rotate-secret --reload "systemctl reload om-api"
      omctl rotate-secret --file /etc/open-messaging/credentials/OM_WEBHOOK_SECRETS \
          --reload "systemctl restart om-api om-observe"
      omctl rotate-secret --edge http://10.0.0.5:8080 --edge http://10.0.0.6:8080 --reload ./spread-and-reload
    """
    environment = Environment()
    file = plan.find_secrets_file(path)
    own = health_url(environment.string("OM_BIND", "127.0.0.1:8080"))
    if own is None and not edges:
        raise ConfigurationError("OM_BIND is a socket file: name the edge's address by --edge")
    configured = read_configured(environment, plan.read_secrets(file))
    integrations = [one for one in configured if one.kind == "integration"]
    if not integrations:
        raise ConfigurationError("OM_REGISTRATION: [integration] must be there: its secret is what changes")
    with open_platform(environment) as client:
        rotation = Rotation(
            file=file,
            urls=[f"{url.rstrip('/')}/health/ready" for url in edges] or [str(own)],
            client=client,
            configured=integrations[0],
            **options,
            report=lambda line: click.echo(line, err=is_json()),
        )
        if dry_run:
            _show(next_step(rotation.read_facts()))
            return
        rotation.run()
    if not show_json({"done": True}):
        click.echo("The new secret signs, and it is the only one.")


def _show(following: RotationStep) -> None:
    at = plan.STEPS.index(following)
    states = ["done"] * at + ["next"] + ["to come"] * (len(plan.STEPS) - at - 1)
    rows = list(zip(plan.STEPS, states, strict=True))
    steps = [{"step": step.name.lower(), "state": state} for step, state in rows]
    if not show_json({"steps": steps, "done": False}):
        print_table(("step", ""), [(step.value, state) for step, state in rows])


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """One rotation of the secret. A run of the command may end after any step; the next run continues there.

    `urls` are the readiness URLs of all edges that use the file or a copy of it. The command `reload` makes
    the edges read the new file; it is empty if an operator does this. A step waits up to `timeout` seconds.
    """

    file: Path
    urls: Sequence[str]
    client: GenesysClient
    configured: Configured
    reload: str
    timeout: float
    quiet: float
    report: Callable[[str], None]

    def read_facts(self) -> Facts:
        """Return the present state; blocks for some seconds."""
        found = find_registered(self.client, self.configured)
        if found.content is None:
            raise RotationError("the integration is not registered: run `omctl register`")
        secret = found.content.get(SECRET)
        signing = None if secret is None else _id(secret)
        return Facts(tuple(map(_id, plan.read_secrets(self.file))), signing, read_signatures(self.urls))

    def run(self) -> None:
        """Continue from the present state to the end; blocks for minutes."""
        first = next_step(self.read_facts())
        for step in plan.STEPS[plan.STEPS.index(first) :]:
            self.report(step.value)
            match step:
                case RotationStep.ADD:
                    new = secrets.token_urlsafe(DIGEST_BYTES)
                    plan.write_secrets(self.file, new, *plan.read_secrets(self.file))
                case RotationStep.SPREAD | RotationStep.SETTLE:
                    self._spread()
                case RotationStep.SWITCH:
                    set_secret(self.client, self.configured, plan.read_secrets(self.file)[0])
                case RotationStep.WATCH:
                    self._watch()
                case RotationStep.DROP:
                    plan.write_secrets(self.file, plan.read_secrets(self.file)[0])

    def _spread(self) -> None:
        ids = tuple(map(_id, plan.read_secrets(self.file)))
        if not self.reload:
            self.report(f"Copy {self.file} to every edge and reload it (SIGHUP); waiting for this")
        elif subprocess.run(self.reload, shell=True, check=False).returncode:  # noqa: S602  the operator's own
            raise RotationError("the command of --reload failed")
        self._wait(lambda edges: Facts(ids, None, edges).are_live(ids), "every edge to accept the secrets")

    def _watch(self) -> None:
        new, old = map(_id, plan.read_secrets(self.file))
        watch = plan.Watch(new, old, self.quiet, since=time.monotonic())
        self._wait(lambda edges: watch.is_over(edges, time.monotonic()), "events under the new secret alone")

    def _wait(self, is_done: Callable[[Signatures], bool], goal: str) -> None:
        deadline = time.monotonic() + self.timeout
        while True:
            with suppress(plan.EdgeAwayError):
                if is_done(read_signatures(self.urls)):
                    return
            if time.monotonic() >= deadline:
                raise RotationError(
                    f"waited {self.timeout:.0f} s in vain for {goal}; no event is refused: run the command "
                    "again to continue"
                )
            time.sleep(POLL_SECONDS)


def read_signatures(urls: Sequence[str]) -> Signatures:
    """Return how many events each edge process has verified with each secret, from the readiness URLs."""
    found: dict[str, dict[str, int]] = {}
    for url in urls:
        try:
            processes = requests.get(url, timeout=REQUEST_SECONDS).json()["processes"]
        except (requests.RequestException, ValueError, KeyError, TypeError) as error:
            raise plan.EdgeAwayError(f"the edge at {url} does not answer ({type(error).__name__})") from None
        found |= {f"{url} {process['pid']}": dict(process.get("signatures", {})) for process in processes}
    return found


def _id(secret: str) -> str:
    return secret_id(secret.encode())
