"""omctl's commands have help and a manual page, print JSON, and report an error in one sentence."""

import json
import re
import shutil
import ssl
import subprocess
import sys

import click
import pytest

from omctl.__main__ import omctl as command_line
from omctl.__main__ import run
from omctl.installing.units import render_manual

CONTEXT = click.Context(command_line)
NAMES = command_line.list_commands(CONTEXT)


def commands():
    """Yield each command with its path, which starts with the name of its group if it has one."""
    for name in NAMES:
        command = command_line.get_command(CONTEXT, name)
        for one in getattr(command, "commands", {"": command}).values():
            yield (name, one.name) if isinstance(command, click.Group) else (name,), one


def test_each_command_can_print_json_and_has_a_help_text_for_each_option():
    for path, command in commands():
        options = [option for option in command.params if isinstance(option, click.Option)]
        assert any(option.name == "as_json" for option in options), path
        assert [option.name for option in options if not (option.help or option.show_default)] == [], path


def test_the_help_lists_every_command_by_group_in_80_columns(capsys):
    assert run(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert {"Install and connect:", "Look:", "Repair:"} <= set(lines)
    listed = {line.split()[0] for line in lines if re.match(r"  [a-z-]+  ", line)}
    assert set(NAMES) <= listed


def test_help_takes_less_than_half_a_second_of_cpu_time_and_imports_no_database_library():
    code = (
        "import sys, time; from omctl.__main__ import run; run(['--help']);"
        "assert time.process_time() < 0.4 and 'rich' not in sys.modules;"
        "run(['sign', '--help']); assert 'sqlalchemy' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_find_imports_no_http_library_before_an_id_is_unknown():
    code = "import omctl.look.find, sys; sys.exit(not {'requests', 'oauthlib'}.isdisjoint(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["chek"], 2, "There is no command chek. Did you mean check?"),
        (["replay"], 2, "Select events: --since"),
        (["find"], 2, "Give either an ID or --customer ID."),
        (["sign", "-"], 78, "OM_WEBHOOK_SECRETS is not set"),
        (["erase"], 2, "Select what to erase"),
        (["find", "m", "--bundle", "/no/such/f"], 1, "/no/such/f cannot be accessed: No such file"),
        (["ipranges", "--from", sys.executable], 1, "not a network"),
    ],
)
def test_an_error_is_printed_as_one_sentence_or_with_json_as_an_object(
    monkeypatch, capsys, arguments, status, message
):
    monkeypatch.delenv("OM_WEBHOOK_SECRETS", raising=False)
    monkeypatch.delenv("OM_DATABASE_URL", raising=False)
    monkeypatch.setattr("sys.stdin", sys.__stdin__)
    assert run([*arguments, "--json"]) == status
    captured = capsys.readouterr()
    error = json.loads(captured.out)["error"]
    assert (error["status"], message in error["message"], message in captured.err) == (status, True, True)


def test_a_network_error_is_reported_without_its_text_and_not_as_a_file_error(monkeypatch, capsys):
    def fail(*_, **__):
        raise errors.pop()

    monkeypatch.setattr("omctl.install._go", fail)
    errors = [OSError("u:p@h"), ssl.SSLError(1, "wrong version")]
    for reason in ("wrong version", "unknown reason"):
        assert run(["uninstall"]) == 1
        assert capsys.readouterr().err == f"omctl: the command failed: {reason}\n"


def test_the_shell_can_complete_commands():
    environment = {"_OMCTL_COMPLETE": "bash_complete", "COMP_WORDS": "omctl de", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "omctl"], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["plain,dead-letters", "plain,destinations"]


PAGE = render_manual()


@pytest.mark.parametrize(("path", "command"), list(commands()))
def test_the_manual_page_describes_each_command_with_its_options(path, command):
    name = re.escape(f"omctl {' '.join(path)}")
    text = PAGE.replace(r"\-", "-").replace(r"\&", "")
    [found] = re.findall(rf'^\.SS "{name}"\n(.*?)(?=^\.S[SH] |\Z)', text, re.MULTILINE | re.DOTALL)
    options = [option for option in command.params if isinstance(option, click.Option)]
    listed = set(re.findall(r"--[\w-]+", "".join(re.findall(r"^\.B (.*\n)", found, re.MULTILINE))))
    assert {name for option in options for name in (*option.opts, *option.secondary_opts)} <= listed
    assert " ".join(command.help.split("\n\n")[0].split()) in found
    assert all(line.replace("\\", r"\e") in found for line in command.epilog.split("\n") if line != "\b")


@pytest.mark.skipif(shutil.which("groff") is None, reason="needs groff")
def test_groff_renders_the_manual_page_without_warnings():
    command = ["groff", "-k", "-man", "-Tutf8", "-ww"]
    done = subprocess.run(command, input=PAGE, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert "--version" in done.stdout
