"""What an answer means for a conversation."""

import pytest

from workers.genesys import PlatformRefusedError
from workers.reconcile import PlatformHistory


class Refusing:
    """A client whose every request ends so."""

    def __init__(self, error):
        self.error = error

    def get(self, _path):
        raise self.error


@pytest.mark.parametrize("status", [400, 404])
def test_an_unknown_id_is_no_conversation(status):
    error = PlatformRefusedError(status, "not.found", "an-id")
    assert PlatformHistory(Refusing(error)).read_overview("c-1") is None


@pytest.mark.parametrize(
    "error",
    [
        PlatformRefusedError(400, "invalid_request", "none", at_login=True),
        PlatformRefusedError(401, "bad.credentials", "an-id"),
        PlatformRefusedError(403, "missing.division.permission", "an-id"),
    ],
)
def test_other_refusals_are_raised(error):
    with pytest.raises(PlatformRefusedError):
        PlatformHistory(Refusing(error)).read_overview("c-1")
