"""omctl smoke: send one message through the platform and back, step by step, and then clean up."""

import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

import click
from sqlalchemy import Engine, select

from messaging.environment import Environment
from messaging.errors import OpenMessagingError
from omctl.connect.register import apply, find_registered
from omctl.connect.registration import Configured, read_configured
from omctl.connections import friendly_errors, open_database, open_platform
from omctl.interface import Command, change_options, is_json, show_json, visible
from workers.db.engine import transact
from workers.db.erasure import erase_conversations
from workers.db.models import processed_events
from workers.genesys import GenesysClient, PlatformRefusedError
from workers.parsing import CONVERSATION_MESSAGE, RECEIPT

MESSAGES: Final = "/api/v2/conversations/messages"
TEXT: Final = "This is a test of the connection. Please ignore it."


@click.command(cls=Command)
@click.option(
    "--integration", "name", required=True, metavar="NAME",
    help="Name for the registrations, which are removed afterwards; the name must be unused.",
)  # fmt: skip
@click.option("--seconds", type=click.FloatRange(1), default=60.0, show_default=True,
              help="How long to wait for each event.")  # fmt: skip
@change_options
def smoke(*, name: str, seconds: float, dry_run: bool) -> None:
    """Test the connection to the platform with one customer message.

    The command creates the registrations in OM_REGISTRATION under the given name, sends a message as the
    customer's social channel would, and waits until the database has the events that the platform posts. Then
    it ends the conversation, erases the texts and removes the registrations; the events' rows stay, without
    texts. If the platform lacks a resource (404), that step reports it, and the test continues. Destinations
    receive these events too. Exit status 1: a step failed.

    Examples:
      omctl smoke --integration "Smoke test" --dry-run
      omctl smoke --integration "Smoke test"
    """
    environment = Environment()
    configured = [
        replace(one, name=name, registration_id=None, body=one.body | {"name": name})
        for one in read_configured(environment)
    ]
    with open_platform(environment) as client, open_database() as engine:
        test = SmokeTest(client, engine, seconds)
        if dry_run:
            for one in configured:
                test.attempt(f"look for the {one.kind}", partial(test.check_name, one))
        else:
            test.run(configured)
    is_ok = all(step["result"] != "failed" for step in test.steps)
    if not show_json({"ok": is_ok, "steps": test.steps}) and not dry_run:
        click.echo("Every step succeeded." if is_ok else "A step failed: see the steps above.")
    if not is_ok:
        raise SystemExit(1)


@dataclass(slots=True)
class SmokeTest:
    """One smoke test. A step's result is ok, failed, or missing (the platform does not have the resource)."""

    client: GenesysClient
    engine: Engine
    seconds: float
    steps: list[dict[str, str]] = field(default_factory=list)
    conversation_id: str = ""
    _undo: ExitStack = field(default_factory=ExitStack)
    _ids: dict[str, str] = field(default_factory=dict)

    def run(self, configured: list[Configured]) -> None:
        """Carry out every step that is possible. Then undo the completed steps, even after Ctrl-C."""
        with self._undo:
            for one in configured:
                self.attempt(f"register the {one.kind}", partial(self._register, one))
            if self.attempt("send a message", self._send):
                if "webhook" in self._ids:
                    self.attempt("wait for the message", partial(self._wait_for, CONVERSATION_MESSAGE))
                self.attempt("wait for the receipt", partial(self._wait_for, RECEIPT))

    def attempt(self, name: str, action: Callable[[], str]) -> bool:
        """Carry out one step, record and print its result, and return whether it succeeded."""
        try:
            with friendly_errors():
                result, detail = "ok", action()
        except PlatformRefusedError as error:
            is_missing = error.status == HTTPStatus.NOT_FOUND and not error.at_login
            result, detail = "missing" if is_missing else "failed", str(error)
        except OpenMessagingError as error:
            result, detail = "failed", str(error)
        self.steps.append({"name": name, "result": result, "detail": detail})
        if not is_json():
            click.echo(visible(f"{result:<8} {name}: {detail}"))
        return result == "ok"

    def check_name(self, one: Configured) -> str:
        """Check that the platform has no registration with the configured name."""
        if (found := find_registered(self.client, one)).content is not None:
            raise OpenMessagingError(f"{one.name!r} exists ({found.registration_id}): choose another name")
        return f"{one.name!r} does not exist"

    def _register(self, one: Configured) -> str:
        self.check_name(one)
        # Plan the removal before the creation: the registration might exist even if the answer is lost.
        self._undo.callback(self.attempt, f"remove the {one.kind}", partial(self._remove, one))
        self._ids[one.kind] = apply(self.client, find_registered(self.client, one)).registration_id or ""
        return self._ids[one.kind]

    def _remove(self, one: Configured) -> str:
        registration_id = find_registered(self.client, one).registration_id
        if registration_id is None:
            return "nothing was registered"
        self.client.send("DELETE", one.locate(registration_id))
        return registration_id

    def _send(self) -> str:
        """Send a customer's message to the platform, as the connector of a social channel would.

        Source: post_conversations_message_inbound_open_message of the official Python SDK, release 269.
        """
        if "integration" not in self._ids:
            raise OpenMessagingError("without an integration, there is nothing to send it to")
        sender = {"id": f"smoke-{uuid.uuid4()}", "idType": "Opaque", "nickname": "Smoke test"}
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        channel = {"messageId": uuid.uuid4().hex, "from": sender, "time": now}
        path = f"{MESSAGES}/{quote(self._ids['integration'], safe='')}/inbound/open/message"
        message = {"channel": channel, "text": TEXT}
        answer = self.client.send("POST", f"{path}?prefetchConversationId=true", message)
        self.conversation_id = str(answer.get("conversationId") or "")
        if not self.conversation_id:
            raise OpenMessagingError("the platform returned no conversation for the message")
        self._undo.callback(self.attempt, "erase the texts", self._erase)
        self._undo.callback(self.attempt, "end the conversation", self._end)
        return f"conversation {self.conversation_id}"

    def _wait_for(self, event_type: str) -> str:
        events = processed_events.c
        query = select(events.id, events.outcome, events.received_at, events.processed_at).where(
            events.conversation_id == self.conversation_id, events.event_type == event_type
        )
        deadline = time.monotonic() + self.seconds
        while (row := transact(self.engine, lambda connection: connection.execute(query).first())) is None:
            if time.monotonic() > deadline:
                hint = f"see `omctl find {self.conversation_id}` and `omctl check`"
                raise OpenMessagingError(f"no {event_type} within {self.seconds:g} s; {hint}")
            time.sleep(0.5)
        took = (row.processed_at - row.received_at).total_seconds()
        return f"webhook at {row.received_at:%H:%M:%S}, row {row.id} {row.outcome} {took:.3f} s later"

    def _end(self) -> str:
        path = f"{MESSAGES}/{quote(self.conversation_id, safe='')}"
        self.client.send("PATCH", path, {"state": "disconnected"})
        return self.conversation_id

    def _erase(self) -> str:
        ids, now = [self.conversation_id], datetime.now(UTC)
        erased = transact(self.engine, erase_conversations, ids, now=now, dry_run=False)
        return f"{sum(erased.values())} rows"
