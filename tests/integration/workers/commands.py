"""Run an omctl command and read its report."""

import json

from click.testing import CliRunner

USAGE_ERROR = 2


def run_omctl(command, *arguments, status=0, body=None, **environment):
    """Run a command and return its report, or its message if it exits with a usage error."""
    result = CliRunner().invoke(
        command, [*arguments, "--json"], input=body, env=environment, catch_exceptions=False
    )
    assert result.exit_code == status, result.output
    if status == USAGE_ERROR:
        return result.stderr
    # Workers in this process also log to stdout, so log lines can precede the report.
    return json.JSONDecoder().raw_decode(result.stdout[result.stdout.index("{\n") :])[0]
