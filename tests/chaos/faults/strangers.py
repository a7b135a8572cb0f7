"""Inject a fault into the journal's directory: foreign files."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.chaos.scene import Scene
    from tests.chaos.stand import Stand

OTHER_USER = 65534
WITHOUT_ROOTS_EYES = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
WITHOUT_ROOTS_EYES += ["--inh-caps=-dac_override,-dac_read_search"]
"""A command prefix that takes two capabilities from root, so that root is denied access like other users."""


@contextmanager
def as_an_ordinary_user(stand: Stand) -> Iterator[None]:
    """Run the edge without root's right to read every file, for a `with` block."""
    stand.edge.prefix = WITHOUT_ROOTS_EYES
    stand.reconfigure_edge()
    try:
        yield
    finally:
        stand.edge.prefix = []
        stand.reconfigure_edge()


@contextmanager
def strangers_live_in_its_home(scene: Scene) -> Iterator[None]:
    """Put foreign, unreadable and broken entries beside the journals, and restart the edge."""
    root = scene.stand.journals.root
    strangers = _settle_in(root)
    edge, before = scene.stand.edge, scene.stand.edge.pid
    edge.restart()
    scene.prove(f"{len(strangers)} strangers were there when the edge started", has_struck=edge.pid != before)
    scene.stand.wait_healthy()
    processes = set(edge.children())
    yield
    assert set(edge.children()) == processes, "an edge process died of a stranger"
    for path in strangers:
        assert path.is_symlink() or path.exists(), f"the edge removed {path.name}"
        _evict(path)


def _settle_in(root: Path) -> list[Path]:
    foreign, unreadable, lockless = root / "lost+found", root / "1-unreadable", root / "2-lockless"
    for directory in (foreign, unreadable, lockless):
        directory.mkdir()
    (foreign / "lock").mkdir()
    (lockless / "00000001.segment").write_bytes(b"no record")
    (unreadable / "lock").touch()
    os.chown(unreadable, OTHER_USER, OTHER_USER)
    unreadable.chmod(0o700)
    dangling, file = root / "3-dangling", root / "4-file"
    dangling.symlink_to(root / "nowhere")
    file.write_text("no directory", encoding="utf-8")
    return [foreign, unreadable, lockless, dangling, file]


def _evict(path: Path) -> None:
    subprocess.run(["rm", "-rf", str(path)], check=True)
