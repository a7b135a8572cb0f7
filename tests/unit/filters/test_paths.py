import pytest

from workers.filters.expression import find_paths


@pytest.mark.parametrize(
    ("expression", "paths"),
    [
        ("channel.type == 'custom'", {"channel.type"}),
        ("channel['type'] == \"a.b\" && !(x.y in ['c.d'])", {"channel.type", "x.y"}),
        (
            "participants.exists(p, p.role == 'customer' && p.id != q)",
            {"participants[].role", "participants[].id", "q"},
        ),
        ("participants[0].role == 'x'", {"participants[].role"}),
        ("a[b.c].d > 1.5", {"b.c", "a[].d"}),
        ("has(routing.status) && size(participants) > 0", {"routing.status", "participants"}),
        ("message.text.startsWith(channel.name)", {"message.text", "channel.name"}),
        ("m.content.all(c, c.parts.exists(t, t.x == c.y))", {"m.content[].parts[].x", "m.content[].y"}),
        ('true || null == "it\'s a.b" // c.d', set()),
        ("r'\\d.e' == '''a\n.b''' && timestamp > duration('1s')", {"timestamp"}),
    ],
)
def test_every_field_that_an_expression_names_is_found(expression, paths):
    found = {".".join(path).replace(".[]", "[]") for path in find_paths(expression)}

    # What a macro or a method is called on is named, too.
    assert paths <= found
    assert all(any(path.startswith(extra) for path in paths) for extra in found - paths)
