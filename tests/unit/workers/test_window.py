from workers.db.ingest import WindowBounds
from workers.db.ingest.window import window_opened


def test_a_window_closes_two_seconds_after_its_event_and_ten_after_its_first():
    window = window_opened(1_000_000, WindowBounds())

    assert window.opened_at_us == 1_000_000
    assert window.closes_at_us == 3_000_000
    assert window.limit_at_us == 11_000_000
