"""The models name the modules that they describe, so that they can be read beside the code."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("", "webhook_api", "messaging", "workers")


@pytest.mark.parametrize("model", ["edge", "effect"])
def test_every_module_that_a_model_names_exists(model):
    text = (ROOT / "tests" / "model" / f"{model}.pml").read_text()
    names = re.findall(r"[a-z_]+(?:/[a-z_]+)+(?:\.(?:py|md))?", text)
    assert len(names) > 3
    assert [name for name in names if not any((ROOT / folder / name).exists() for folder in FOLDERS)] == []
