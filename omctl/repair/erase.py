"""omctl erase: delete the personal data of a customer or a conversation."""

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any, Final

import click
from sqlalchemy import Connection, Engine

from messaging.environment import Environment
from messaging.errors import BrokerUnavailableError, OpenMessagingError
from omctl.connections import DeadLetterSession, open_database, open_dead_letters
from omctl.interface import Command, print_table, progress_bar, recorded_options, show_json
from omctl.interventions import Run, Terms, execute
from webhook_api.relay import SET_ASIDE
from workers.db.engine import DatabaseClock, transact
from workers.db.erasure import encode_needles, erase_conversations, erase_discarded, search_conversations
from workers.db.interventions import Action, record_decision, record_execution
from workers.parsing import moment_of

DEAD_LETTERS: Final = "dead-letter queue"
FILES: Final = "set-aside files of this host"

NOTES: Final = (
    "Backups and write-ahead logs made before now still contain the data, until they expire.",
    "RabbitMQ's and PostgreSQL's files contain it until they are compacted: docs/security.md.",
    "The command does not erase data in your own services that receive events.",
)
IN_JOURNAL: Final = "An event in this host's journal still contains it: run the command again in a minute."


@click.command(cls=Command)
@click.option(
    "--conversation", "conversations", multiple=True, metavar="ID", help="This conversation; repeatable."
)
@click.option(
    "--customer", "customers", multiple=True, metavar="ID",
    help="Every conversation with this customer: the id in the platform's GDPR request; repeatable.",
)  # fmt: skip
@recorded_options
def erase(*, conversations: tuple[str, ...], customers: tuple[str, ...], **options: Any) -> None:
    """Erase the personal data of conversations: bodies, texts, dead letters and set-aside files.

    Ids stay, so that a copy of an erased event has no effect. Deliveries waiting for a destination are given
    up. Each edge host has its own set-aside files, so run the command on each. You can safely repeat it.

    Examples:
      omctl erase --customer ext:customer:987654 --dry-run
      omctl erase --customer ext:customer:987654 --reason "GDPR request 4711"
      omctl erase --conversation a1b2c3d4-e5f6-7890-abcd-ef1234567890 --reason "asked by the customer"
    """
    identifiers = (*conversations, *customers)
    if not identifiers or "" in identifiers:
        raise click.UsageError("Select what to erase: --conversation ID or --customer ID.")
    terms = Terms(**options)
    terms.require_reason()
    state_directory = Path(Environment().string("OM_STATE_DIRECTORY", "/var/lib/open-messaging"))
    check_readable(state_directory)
    of_customers = encode_needles(customers)
    erased: Counter[str] = Counter()
    with open_database() as engine:
        chosen = sorted({*conversations, *_search(engine, of_customers)})
        needles = of_customers | encode_needles(chosen)

        def erase_all(intervention_id: str | None) -> Iterator[int]:
            erased.update(_erase_all(engine, state_directory, chosen, needles, intervention_id))
            yield len(chosen)

        run = Run(Action.ERASE, len(chosen), _filters_of(identifiers))
        if terms.dry_run:
            list(erase_all(None))
        else:
            run.begin(engine, terms)
            execute(engine, run, erase_all(run.intervention_id), Event())
    _report(erased, run, [IN_JOURNAL, *NOTES] if _journal_contains(state_directory, needles) else NOTES)


def check_readable(state_directory: Path) -> None:
    """Check that this host's set-aside files and journal can be read; a host without an edge has none."""
    for name in (*SET_ASIDE, "journal"):
        try:
            next((state_directory / name).iterdir(), None)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise OpenMessagingError(
                f"{state_directory / name} cannot be read ({error.strerror}): run the command as root"
            ) from None


def _filters_of(identifiers: Sequence[str]) -> str:
    """Return the filters for the intervention's record, which must not name the customer."""
    return json.dumps({"sha256": [hashlib.sha256(one.encode()).hexdigest() for one in identifiers]})


def _search(engine: Engine, needles: Collection[bytes]) -> set[str]:
    with progress_bar() as bar:
        show = partial(bar.update, bar.add_task("Bodies", total=None, note=""))
        return search_conversations(engine, needles, lambda done, total: show(completed=done, total=total))


def _erase_all(
    engine: Engine,
    state_directory: Path,
    conversations: list[str],
    needles: Collection[bytes],
    intervention_id: str | None,
) -> Counter[str]:
    """Erase dead letters, set-aside files and rows. Without an intervention, only count them."""
    dry_run = intervention_id is None
    erased = Counter[str]()
    try:
        # Connect to the broker only now: nothing answers its heartbeats while the bodies are searched.
        with open_dead_letters() as session:
            erased[DEAD_LETTERS] = _erase_dead_letters(session, needles, intervention_id)
            with session.queue.publisher.keep_alive():
                erased[FILES] = _erase_files(state_directory, needles, dry_run=dry_run)
                # Erase the tables last: after a failure, another run finds the conversations by their bodies.
                erased.update(_erase_rows(engine, conversations, needles, dry_run=dry_run))
            if not dry_run:
                # A delivery might have become a dead letter before the tables were erased.
                erased[DEAD_LETTERS] += _erase_dead_letters(session, needles, intervention_id)
    except BrokerUnavailableError as error:
        if FILES not in erased:
            raise
        # The bodies are now erased, so --customer can no longer find the conversations.
        again = " ".join(f"--conversation {one}" for one in conversations)
        raise OpenMessagingError(
            f"the tables are erased, but perhaps not the dead-letter queue ({error}): repeat with {again}"
        ) from None
    return erased


def _erase_rows(
    engine: Engine, conversations: list[str], needles: Collection[bytes], *, dry_run: bool
) -> Counter[str]:
    """Erase data in the tables. Each transaction is short: it handles only one conversation or one needle."""
    erased = Counter[str]()
    found = (transact(engine, erase_discarded, needle, dry_run=dry_run) for needle in needles)
    erased["discarded_dead_letters"] = len(set[int]().union(*found))
    for one in conversations or [""]:
        rows = partial(erase_conversations, now=moment_of(DatabaseClock(engine).now_us()))
        erased.update(transact(engine, rows, [one], dry_run=dry_run))
    return erased


def _erase_dead_letters(
    session: DeadLetterSession, needles: Collection[bytes], intervention_id: str | None
) -> int:
    """Remove and count the dead letters that contain a needle. Without an intervention, only count them."""
    found = 0
    for held in session.queue.windows():
        chosen = [message for message in held if _contains(message.envelope.body, needles)]
        found += len(chosen)
        if intervention_id is not None and chosen:
            ids = [message.envelope.identity for message in chosen]
            transact(session.engine, _record, ids, intervention_id, session.clock.now_us())
            session.queue.remove(chosen)
    return found


def _record(connection: Connection, ids: list[str], intervention_id: str, now_us: int) -> None:
    record_decision(connection, ids, intervention_id)
    record_execution(connection, ids, now_us)


def _erase_files(state_directory: Path, needles: Collection[bytes], *, dry_run: bool) -> int:
    """Delete this host's set-aside files that contain one of *needles*, and return their number."""
    paths = (path for name in SET_ASIDE for path in sorted((state_directory / name).glob("*")))
    found = [path for path in paths if path.suffix != ".json" and _contains(path.read_bytes(), needles)]
    for path in found if not dry_run else ():
        path.with_suffix(".json").unlink(missing_ok=True)
        path.unlink()
    return len(found)


def _journal_contains(state_directory: Path, needles: Collection[bytes]) -> bool:
    for path in (state_directory / "journal").rglob("*.segment"):
        # A listed segment might be missing: the edge deletes it once the broker has its events.
        with suppress(FileNotFoundError):
            if _contains(path.read_bytes(), needles):
                return True
    return False


def _contains(body: bytes, needles: Collection[bytes]) -> bool:
    return any(needle in body for needle in needles)


def _report(erased: dict[str, int], run: Run, notes: Sequence[str]) -> None:
    done = {"done": bool(run.intervention_id), "intervention": run.intervention_id or None}
    if show_json({"conversations": run.chosen, "erased": erased, **done, "notes": notes}):
        return
    print_table(("place", "erased" if run.intervention_id else "would be erased"), erased.items())
    click.echo("\n".join(notes))
    if run.intervention_id:
        click.echo(f"Conversations erased: {run.chosen}; recorded as intervention {run.intervention_id}.")
