"""Every command that has a file can be called."""

from pathlib import Path

import click

import omctl.commands
from omctl.commands import COMMANDS


def test_each_file_is_a_command_of_the_table_or_belongs_to_one():
    files = {path.stem for path in Path(omctl.commands.__file__).parent.glob("[!_]*.py")}
    groups = [command.commands.values() for command in COMMANDS if isinstance(command, click.Group)]
    called = {
        command.name.replace("-", "_") for command in (*COMMANDS, *(one for group in groups for one in group))
    }
    assert files <= called
