from contextlib import nullcontext
from types import SimpleNamespace

from workers import bootstrap


def test_an_unanswered_request_holds_up_the_other_updates_for_five_seconds(monkeypatch):
    opened = []
    monkeypatch.setattr(bootstrap, "_open_database", lambda _url: (None, None))
    monkeypatch.setattr(bootstrap, "report_presence", lambda *_arguments: nullcontext())
    monkeypatch.setattr(bootstrap, "run_role", lambda _role, steps: opened.append(steps[1].__self__.states))
    genesys = SimpleNamespace(client_id="client", requests_per_minute=300, api_url="", login_url="")
    settings = SimpleNamespace(
        database_url="", genesys=genesys, apply_unverified_seconds=0.0, give_up_seconds=600.0
    )
    bootstrap.run_settle(settings, name="settle-1")
    assert opened[0]._client.request_seconds == 5.0
