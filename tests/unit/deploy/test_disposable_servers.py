"""`make test` runs servers in containers if their images are present, otherwise from installed packages."""

import os
import subprocess
import sys

import pytest

from tests.servers.disposable import POSTGRESQL_IMAGE, RABBITMQ_IMAGE, has_images


@pytest.mark.parametrize(
    ("engine", "expected"),
    [
        (f'test "$*" = "image inspect {RABBITMQ_IMAGE} {POSTGRESQL_IMAGE}"', True),
        ("exit 1", False),
        ("exec sleep 60", False),
        (None, False),
    ],
    ids=["has both images", "lacks an image or does not answer", "hangs", "is not installed"],
)
def test_containers_are_used_only_if_an_engine_has_both_images(tmp_path, monkeypatch, engine, expected):
    monkeypatch.setattr("tests.servers.disposable.ENGINE_SECONDS", 0.5)
    if engine:
        (tmp_path / "docker").write_text(f"#!/bin/sh\n{engine}\n")
        (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/bin" if engine else str(tmp_path))
    assert has_images(RABBITMQ_IMAGE, POSTGRESQL_IMAGE) is expected


def test_testcontainers_is_imported_only_for_containers():
    code = "import tests.servers.__main__, sys; sys.exit('testcontainers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
