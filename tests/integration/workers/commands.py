"""Run a command of omctl and read its report."""

import json

from click.testing import CliRunner

USAGE_ERROR = 2


def run_omctl(command, *arguments, status=0, body=None, **environment):
    """Run a command and return its report; for a usage error return the message instead."""
    result = CliRunner().invoke(
        command, [*arguments, "--json"], input=body, env=environment, catch_exceptions=False
    )
    assert result.exit_code == status, result.output
    if status == USAGE_ERROR:
        return result.stderr
    # Workers of this process log to the same place.
    return json.JSONDecoder().raw_decode(result.stdout[result.stdout.index("{\n") :])[0]
