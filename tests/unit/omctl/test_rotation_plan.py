"""A secret rotation's next step is derived from the current state, and the secrets file is updated."""

import stat

import pytest

from messaging.errors import ConfigurationError
from omctl.connect.rotation import (
    RotationError,
    RotationStep,
    Watch,
    find_secrets_file,
    next_step,
    read_secrets,
    write_secrets,
)

ONE = {"edge 1": {"new": 0}}
BOTH = {"edge 1": {"new": 3, "old": 5}, "edge 2": {"new": 0, "old": 9}}
ONE_OF_TWO = {"edge 1": {"new": 3, "old": 5}, "edge 2": {"old": 9}}


@pytest.mark.parametrize(
    ("secrets", "signing", "edges", "step"),
    [
        (("new",), "new", ONE, RotationStep.ADD),
        (("new",), None, ONE, RotationStep.ADD),
        (("new",), "new", BOTH, RotationStep.SETTLE),
        (("new", "old"), "old", ONE_OF_TWO, RotationStep.SPREAD),
        (("new", "old"), "new", ONE_OF_TWO, RotationStep.SPREAD),
        (("new", "old"), "old", BOTH, RotationStep.SWITCH),
        (("new", "old"), None, BOTH, RotationStep.SWITCH),
        (("new", "old"), "new", BOTH, RotationStep.WATCH),
    ],
)
def test_the_next_step_depends_on_the_file_the_platform_and_the_edges(secrets, signing, edges, step):
    assert next_step(secrets, signing, edges) is step


@pytest.mark.parametrize(
    ("secrets", "signing", "edges", "text"),
    [
        (("a", "b", "c"), "a", ONE, "more than two"),
        (("new",), "unknown", ONE, "not in the file"),
        (("new",), "new", {}, "--edge"),
        (("other",), None, ONE, "does not accept the file's secret"),
        (("new",), None, {"edge 1": {}}, "does not accept the file's secret"),
    ],
)
def test_a_rotation_that_would_cause_refused_events_is_an_error(secrets, signing, edges, text):
    with pytest.raises(RotationError, match=text):
        next_step(secrets, signing, edges)


@pytest.mark.parametrize(
    ("looks", "is_over"),
    [
        # Each observation: a time in seconds, and each process's counts of signatures by new and old secret.
        ([(0, {"a": (0, 5)}), (9, {"a": (1, 5)})], False),
        ([(0, {"a": (0, 5)}), (10, {"a": (1, 5)})], True),
        ([(0, {"a": (0, 5)}), (60, {"a": (0, 5)})], False),
        ([(0, {"a": (0, 5)}), (8, {"a": (1, 6)}), (17, {"a": (2, 6)})], False),
        ([(0, {"a": (0, 5)}), (8, {"a": (1, 6)}), (18, {"a": (2, 6)})], True),
        ([(0, {"a": (0, 5)}), (8, {"b": (1, 0)}), (10, {"b": (2, 0)})], True),
        ([(0, {"a": (0, 5)}), (8, {"a": (1, 5), "b": (0, 1)}), (17, {"a": (2, 5), "b": (0, 1)})], False),
    ],
)
def test_the_old_secret_is_dropped_once_only_the_new_secret_has_signed_for_a_while(looks, is_over):
    watch = Watch("new", "old", quiet=10.0, since=0.0)
    for now, edges in looks:
        counts = {name: {"new": new, "old": old} for name, (new, old) in edges.items()}
        found = watch.is_over(counts, float(now))
    assert found is is_over


def test_the_secrets_file_keeps_its_mode_and_the_order_of_its_secrets(tmp_path):
    path = tmp_path / "secrets"
    path.write_text("constructed-old-secret\n")
    path.chmod(0o640)
    write_secrets(path, "constructed-new-secret", *read_secrets(path))
    assert read_secrets(path) == ("constructed-new-secret", "constructed-old-secret")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert list(tmp_path.iterdir()) == [path]


def test_the_secrets_file_must_be_named_by_a_setting_and_contain_a_secret(monkeypatch, tmp_path):
    monkeypatch.setenv("OM_WEBHOOK_SECRETS", "constructed-secret")
    with pytest.raises(ConfigurationError, match=r"holds the secrets themselves.*OM_WEBHOOK_SECRETS_FILE"):
        find_secrets_file(None)
    monkeypatch.delenv("OM_WEBHOOK_SECRETS")
    with pytest.raises(ConfigurationError, match="OM_WEBHOOK_SECRETS_FILE or --file"):
        find_secrets_file(None)
    path, settings = tmp_path / "secrets", tmp_path / "settings"
    path.touch()
    with pytest.raises(ConfigurationError, match="without a secret"):
        find_secrets_file(path)
    path.write_text("constructed-secret\n")
    settings.write_text(f"OM_WEBHOOK_SECRETS_FILE={path}\n")
    monkeypatch.setenv("OM_SETTINGS_FILE", str(settings))
    monkeypatch.setenv("OM_WEBHOOK_SECRETS_FILE", str(tmp_path / "other"))
    assert find_secrets_file(None) == path
