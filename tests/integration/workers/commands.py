"""Run a command of omctl and read its report."""

import json

from click.testing import CliRunner


def run_omctl(command, *arguments, status=0, body=None, **environment):
    """Run a command with these environment variables and standard input, and return its report as JSON."""
    result = CliRunner().invoke(
        command, [*arguments, "--json"], input=body, env=environment, catch_exceptions=False
    )
    assert result.exit_code == status, result.output
    # Workers of this process log to the same place.
    return json.JSONDecoder().raw_decode(result.stdout[result.stdout.index("{\n") :])[0]
