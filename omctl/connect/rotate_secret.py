"""omctl rotate-secret: have a new secret sign, without one refused event."""

from pathlib import Path

import click

from messaging.environment import Environment
from messaging.errors import ConfigurationError
from omctl.connect.registrar import Registrar
from omctl.connect.registration import Configured, read_configured
from omctl.connect.rotate import QUIET_SECONDS, TIMEOUT_SECONDS, Rotation, read_signatures
from omctl.connect.rotation import STEPS, Facts, RotationStep, next_step
from omctl.connect.secrets_file import SecretsFile
from omctl.connections import health_url, open_platform
from omctl.console import print_json, print_table
from omctl.options import dry_run_option, json_option

EXAMPLES = """\b
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
@dry_run_option
@json_option
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
    urls = [f"{url.rstrip('/')}/health/ready" for url in edges] or [_own(environment)]
    with open_platform(environment) as client:
        rotation = Rotation(
            file,
            lambda: read_signatures(urls),
            Registrar(client),
            _integration(environment, file),
            reload=reload,
            timeout=wait_seconds,
            quiet=quiet_seconds,
            report=lambda line: click.echo(line, err=as_json),
        )
        if dry_run:
            _show(rotation.facts(), as_json=as_json)
            return
        rotation.run()
    if as_json:
        print_json({"done": True})
    else:
        click.echo("The new secret signs, and it is the only one.")


def _own(environment: Environment) -> str:
    url = health_url(environment.string("OM_BIND", "127.0.0.1:8080"))
    if url is None:
        raise ConfigurationError("OM_BIND is a socket file: name the edge's address by --edge")
    return url


def _integration(environment: Environment, file: SecretsFile) -> Configured:
    for configured in read_configured(environment, file.read()):
        if configured.kind == "integration":
            return configured
    raise ConfigurationError("OM_REGISTRATION: [integration] must be there: its secret is what changes")


def _show(facts: Facts, *, as_json: bool) -> None:
    next_one = next_step(facts)
    states = {step: _state(step, next_one) for step in STEPS}
    if as_json:
        steps = [{"step": step.name.lower(), "state": state} for step, state in states.items()]
        print_json({"steps": steps, "done": False})
    else:
        print_table(("step", ""), [(step.value, state) for step, state in states.items()])


def _state(step: RotationStep, next_one: RotationStep) -> str:
    position = STEPS.index(step) - STEPS.index(next_one)
    if position < 0:
        return "done"
    return "next" if position == 0 else "to come"
