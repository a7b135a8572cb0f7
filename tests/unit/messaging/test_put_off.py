import pytest

from messaging.consuming.put_off import acknowledgements


@pytest.mark.parametrize(
    ("tags", "open_tags", "expected"),
    [
        ([], set(), []),
        ([1, 2, 3], set(), [(3, True)]),
        ([1, 2, 4, 5], {3}, [(2, True), (4, False), (5, False)]),
        ([2, 3], {1}, [(2, False), (3, False)]),
        ([2, 3], {9}, [(3, True)]),
        ([7], {5, 9}, [(7, False)]),
        ([5], {7}, [(5, True)]),
    ],
)
def test_what_is_put_off_is_never_covered(tags, open_tags, expected):
    assert acknowledgements(tags, open_tags) == expected
