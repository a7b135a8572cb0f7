"""Keep the options that an installation was called with, so that a later one need not say them again."""

from __future__ import annotations

import json
import shlex
import tomllib
from typing import TYPE_CHECKING, Final

from omctl.installing.files import file_step, read
from omctl.installing.options import CONFIGURATION, Options, Role
from omctl.installing.step import InstallationError, Step, kept

if TYPE_CHECKING:
    from pathlib import Path

KEPT: Final = CONFIGURATION / "installation.toml"
BOTH: Final = "both"

Words = dict[str, str | int]
"""Options by their names on the command line, such as server-name, with what is said there."""

_HEADING: Final = """\
# How this host was installed. Written by omctl install, which takes an option from here where it is called
# without it. Change it by giving the option again.
"""


def options_of(given: Words, certificate: tuple[Path, Path] | None = None) -> Options:
    """Return what an installation comes to: by what is given, then by what is kept, then by the defaults.

    Args:
        given: What the command line has.
        certificate: PEM files of it and of its private key, where the command line has them.

    Raises:
        InstallationError: What is kept cannot be read.
    """
    earlier = _read()
    words = {**words_of(Options()), **earlier, **given}
    role, hosts = str(words["role"]), str(words["cluster"])
    return Options(
        roles=frozenset(Role) if role == BOTH else frozenset({Role(role)}),
        bind=str(words["bind"]),
        server_name=str(words["server-name"]),
        certificate=certificate,
        workers=int(words["workers"]) or None,
        platform_only=bool(words["platform-only"]),
        firewall=bool(words["firewall"]),
        cluster=tuple(hosts.split(",")) if hosts else (),
        kept=tuple(name for name in earlier if name not in given),
    )


def words_of(options: Options) -> Words:
    """Return the options that are kept, each as the command line says it."""
    return {
        "role": BOTH if options.is_edge and options.is_worker else min(options.roles).value,
        "bind": options.bind,
        "server-name": options.server_name,
        "workers": options.workers or 0,
        "platform-only": options.platform_only,
        "firewall": options.firewall,
        "cluster": ",".join(options.cluster),
    }


def told_steps(options: Options) -> list[Step]:
    """Return the steps that tell which options an earlier installation decides, and the way back."""
    words, usual = words_of(options), words_of(Options())
    return [
        kept(f"{_said(name, words[name])} of an earlier installation; {_said(name, usual[name])} goes back")
        for name in options.kept
    ]


def keep_step(options: Options) -> Step:
    """Return the step that writes the options down; one at its default is left out."""
    return file_step(KEPT, lambda: text_of(options))


def text_of(options: Options) -> str:
    """Return the text of the file that keeps *options*."""
    usual = words_of(Options())
    return _HEADING + "".join(
        f"{name} = {json.dumps(value, ensure_ascii=False)}\n"
        for name, value in words_of(options).items()
        if value != usual[name]
    )


def _said(name: str, value: str | int) -> str:
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no-{name}"
    return f"--{name} {shlex.quote(str(value))}"


def _read() -> Words:
    """Return what an earlier installation was called with; nothing where it is older than this file."""
    try:
        found = tomllib.loads(read(KEPT) or "")
    except (OSError, UnicodeDecodeError) as error:
        raise _unusable(type(error).__name__) from None
    except tomllib.TOMLDecodeError as error:
        raise _unusable(f"it is no TOML: {error}") from None
    usual = words_of(Options())
    if wrong := [name for name, value in found.items() if not _is_usable(name, value, usual)]:
        raise _unusable(f"{', '.join(wrong)}: unknown, or of a value that it cannot have")
    return found


def _is_usable(name: str, value: object, usual: Words) -> bool:
    if name not in usual or type(value) is not type(usual[name]):
        return False
    is_role = name != "role" or value in {BOTH, *Role}
    return is_role and (not isinstance(value, int) or value >= 0)


def _unusable(why: str) -> InstallationError:
    return InstallationError(
        f"{KEPT}, which keeps how this host was installed, cannot be used ({why}): mend it, or delete it and "
        "give every option again"
    )
