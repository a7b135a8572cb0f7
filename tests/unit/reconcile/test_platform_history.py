"""A refused request can mean that the platform does not have the conversation."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from workers.genesys import PlatformRefusedError
from workers.reconcile import PlatformHistory


@pytest.mark.parametrize(
    ("status", "is_at_login", "is_unknown"),
    [(400, False, True), (404, False, True), (400, True, False), (401, False, False), (403, False, False)],
)
def test_only_a_refusal_of_the_id_means_an_unknown_conversation(status, is_at_login, is_unknown):
    def refuse(_path):
        raise PlatformRefusedError(status, "a.code", "an-id", at_login=is_at_login)

    history = PlatformHistory(SimpleNamespace(get=refuse))
    with nullcontext() if is_unknown else pytest.raises(PlatformRefusedError):
        assert history.read_overview("c-1") is None
