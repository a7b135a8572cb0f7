"""The manual page omctl(1), from the same texts as `--help`."""

import re
from collections.abc import Iterator

import click


def render_manual() -> str:
    """Return the page in groff's language: every command with its options."""
    # Here, since the commands' table comes to this module by way of `install`.
    from omctl.__main__ import GROUPS, omctl  # noqa: PLC0415

    root = click.Context(omctl, info_name="omctl", **omctl.context_settings)
    lines = ['.TH OMCTL 1 "" "Open Messaging Ingest"', ".SH NAME", r"omctl \- operate Open Messaging Ingest"]
    lines += [".SH SYNOPSIS", *_describe(omctl, root)]
    for title, names in GROUPS.items():
        lines.append(f'.SH "{title.upper()}"')
        for name in names:
            lines += _list_commands(omctl.get_command(root, name), root)
    return "\n".join([*lines, ""])


def _list_commands(command: click.Command | None, parent: click.Context) -> Iterator[str]:
    """Yield a command, and each of its own commands."""
    assert command is not None
    context = click.Context(command, parent=parent, info_name=command.name)
    yield f'.SS "{_escape(context.command_path)}"'
    yield from _describe(command, context)
    for subcommand in command.commands.values() if isinstance(command, click.Group) else ():
        yield from _list_commands(subcommand, context)


def _describe(command: click.Command, context: click.Context) -> Iterator[str]:
    yield f".B {_escape(' '.join([context.command_path, *command.collect_usage_pieces(context)]))}"
    for paragraph in (command.help or "").split("\n\n"):
        yield from (".PP", _escape(" ".join(paragraph.split())))
    for record in (option.get_help_record(context) for option in command.get_params(context)):
        # An argument has no text.
        yield from (".TP", f".B {_escape(record[0])}", _escape(record[1])) if record and record[1] else ()
    for block in (command.epilog or "").replace("\b\n", "").split("\n\n"):
        yield from (".PP", ".nf", _escape(block), ".fi") if block else ()


def _escape(text: str) -> str:
    """Return *text* for groff, which takes a line that begins with a dot or an apostrophe for a request."""
    return re.sub(r"^(?=[.'])", r"\\&", text.replace("\\", r"\e").replace("-", r"\-"), flags=re.MULTILINE)
