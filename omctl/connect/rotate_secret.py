"""omctl rotate-secret: replace the signing secret without refusing any event."""

import secrets
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import dropwhile
from pathlib import Path
from typing import Any, Final

import click
import requests

from messaging.environment import Environment
from messaging.errors import ConfigurationError
from omctl.connect import rotation as plan
from omctl.connect.register import find_registered, set_secret
from omctl.connect.registration import SECRET, Configured, read_configured
from omctl.connect.rotation import RotationError, RotationStep, Signatures
from omctl.connections import health_url, open_platform
from omctl.interface import Command, change_options, is_json, print_table, show_json
from webhook_api.signature import DIGEST_BYTES, secret_id
from workers.genesys import GenesysClient

QUIET_SECONDS: Final = 120.0
"""How long the old secret must go unused before its removal: the platform retries webhooks for up to 85 s."""

POLL_SECONDS: Final = 1.0
"""The interval at which the edges are queried. An edge updates its report at the same interval."""
REQUEST_SECONDS: Final = 5.0


@click.command("rotate-secret", cls=Command)
@click.option(
    "--file", "path", type=click.Path(dir_okay=False, path_type=Path),
    help="The file to change instead of OM_WEBHOOK_SECRETS_FILE, such as the source of a systemd credential.",
)  # fmt: skip
@click.option("--edge", "edges", metavar="URL", multiple=True, help="Name every edge. [default: OM_BIND]")
@click.option(
    "--reload", metavar="COMMAND", default="", help="Command to copy the file to the edges and reload them."
)
@click.option("--quiet-seconds", "quiet", type=click.FloatRange(0), default=QUIET_SECONDS, show_default=True)
@click.option("--wait-seconds", "timeout", type=click.FloatRange(0), default=600.0, show_default=True)
@change_options
def rotate_secret(*, path: Path | None, edges: tuple[str, ...], dry_run: bool, **options: Any) -> None:
    r"""Replace the secret that signs the webhooks, while events keep arriving.

    The command inspects the file, the edges and the platform to determine which of six steps comes next. If
    it is interrupted, or if a step exceeds --wait-seconds, run it again to continue. The old secret is
    removed once events signed with the new one have arrived and, for --quiet-seconds, none signed with the
    old one: the platform retries a webhook for up to 85 s.

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
        raise ConfigurationError("OM_BIND is a socket file: give the edge's URL with --edge")
    configured = read_configured(environment, plan.read_secrets(file))
    integrations = [one for one in configured if one.kind == "integration"]
    if not integrations:
        raise ConfigurationError("OM_REGISTRATION: [integration], whose secret changes, is missing")
    with open_platform(environment) as client:
        rotation = Rotation(
            file=file,
            urls=[f"{url.rstrip('/')}/health/ready" for url in edges] or [str(own)],
            client=client,
            configured=integrations[0],
            **options,
        )
        if dry_run:
            _show(rotation.remaining_steps())
            return
        rotation.run()
    if not show_json({"done": True}):
        click.echo("The platform signs with the new secret, and the edge accepts only this one.")


def _show(remaining: list[RotationStep]) -> None:
    states = {step: "to come" if step in remaining else "done" for step in RotationStep}
    states[remaining[0]] = "next"
    steps = [{"step": step.name.lower(), "state": state} for step, state in states.items()]
    if not show_json({"steps": steps, "done": False}):
        print_table(("step", ""), [(step.value, state) for step, state in states.items()])


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """One rotation of the secret. After an interruption, run the command again to do the remaining steps.

    `urls` are the readiness URLs of all edges that use the file or a copy of it. The command `reload` makes
    the edges reread the file; it is empty if an operator reloads them. A step waits up to `timeout` seconds.
    """

    file: Path
    urls: list[str]
    client: GenesysClient
    configured: Configured
    reload: str
    timeout: float
    quiet: float

    def remaining_steps(self) -> list[RotationStep]:
        """Query the platform and the edges, and return the remaining steps; this can take several seconds."""
        found = find_registered(self.client, self.configured)
        if found.content is None:
            raise RotationError("the integration is not registered: run `omctl register`")
        secret = found.content.get(SECRET)
        signing = None if secret is None else secret_id(secret.encode())
        following = plan.next_step(self._ids(), signing, self._read_signatures())
        return list(dropwhile(lambda step: step is not following, RotationStep))

    def run(self) -> None:
        """Carry out all remaining steps; this can take minutes."""
        for step in self.remaining_steps():
            click.echo(step.value, err=is_json())
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
        # Send the command's output to standard error: standard output is reserved for omctl's result.
        if not self.reload:
            text = f"Copy {self.file} to every edge host and reload the edge (SIGHUP); waiting"
            click.echo(text, err=is_json())
        elif subprocess.run(self.reload, shell=True, check=False, stdout=2).returncode:  # noqa: S602  the operator's own
            raise RotationError("the --reload command failed")
        self._wait(partial(plan.are_live, self._ids()), "every edge to accept the secrets")

    def _watch(self) -> None:
        new, old = self._ids()
        watch = plan.Watch(new, old, self.quiet, since=time.monotonic())
        self._wait(
            lambda edges: watch.is_over(edges, time.monotonic()), "events signed only with the new secret"
        )

    def _wait(self, is_done: Callable[[Signatures], bool], goal: str) -> None:
        deadline = time.monotonic() + self.timeout
        while True:
            # An edge that is being reloaded does not answer until its new processes run, so query it again.
            with suppress(RotationError):
                if is_done(self._read_signatures()):
                    return
            if time.monotonic() >= deadline:
                raise RotationError(
                    f"waited {self.timeout:.0f} s for {goal} and gave up. No event is refused: run the "
                    "command again to continue"
                )
            time.sleep(POLL_SECONDS)

    def _ids(self) -> tuple[str, ...]:
        return tuple(secret_id(secret.encode()) for secret in plan.read_secrets(self.file))

    def _read_signatures(self) -> Signatures:
        found: dict[str, dict[str, int]] = {}
        for url in self.urls:
            try:
                processes = requests.get(url, timeout=REQUEST_SECONDS).json()["processes"]
            except (requests.RequestException, ValueError, KeyError, TypeError):
                raise RotationError(f"the edge at {url} does not answer: check that it runs") from None
            found |= {f"{url} {process['pid']}": dict(process.get("signatures", {})) for process in processes}
        return found
