"""Every command of the table can be called, and one is imported without the others."""

import subprocess
import sys

import click

from omctl.__main__ import omctl as command_line

CONTEXT = click.Context(command_line)


def test_each_command_answers_to_its_name_in_the_table():
    names = command_line.list_commands(CONTEXT)
    assert [command_line.get_command(CONTEXT, name).name for name in names] == names


def test_each_command_can_print_json():
    groups = [command_line.get_command(CONTEXT, name) for name in command_line.list_commands(CONTEXT)]
    commands = [one for each in groups for one in getattr(each, "commands", {"": each}).values()]
    silent = [each.name for each in commands if not any(one.name == "as_json" for one in each.params)]
    assert silent == []


def test_a_command_that_touches_no_database_reads_nothing_of_one():
    code = (
        "import sys; from omctl.__main__ import omctl;"
        "omctl(['sign', '--help'], standalone_mode=False); sys.exit('sqlalchemy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
