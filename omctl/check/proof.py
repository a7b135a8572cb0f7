"""Say whether the settings keep the promise that nothing answered 200 is lost, on a cluster too."""

from __future__ import annotations

from typing import Final

from omctl.check.finding import Finding, Level

AREA: Final = "proof"


def check_proof(brokers: int, management_addresses: int, *, has_confirms: bool) -> list[Finding]:
    """Return what lets go of the journal, and whether it can be relied on.

    Args:
        brokers: Addresses in OM_AMQP_URL.
        management_addresses: Addresses in OM_MANAGEMENT_URL.
        has_confirms: OM_PUBLISHER_CONFIRMS.
    """
    if has_confirms:
        return [Finding(AREA, "journal", Level.OK, "publisher confirms let go of it")]
    if brokers <= 1:
        return [Finding(AREA, "journal", Level.OK, "the barrier lets go of it, one broker is named")]
    if not management_addresses:
        text = f"{brokers} brokers are named and no management API: events may be lost without a word"
        advice = (
            "Set OM_MANAGEMENT_URL, an address for each broker, or OM_PUBLISHER_CONFIRMS=true:"
            " a queue without a majority drops what is published to it."
        )
        return [Finding(AREA, "journal", Level.PROBLEM, text, advice)]
    if management_addresses != brokers:
        text = f"{brokers} brokers are named and {management_addresses} addresses of the management API"
        advice = "Name one for each broker in the same order, so that each node speaks for itself."
        return [Finding(AREA, "journal", Level.WARNING, text, advice)]
    return [Finding(AREA, "journal", Level.OK, "the barrier lets go of it where a majority is seen")]
