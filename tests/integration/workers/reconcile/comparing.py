"""Run a comparison, and query its results with shared SQL."""

HOUR_US = 3_600_000_000


def run(reconciler):
    """Reconcile step by step until no step is left, and return the number of steps."""
    steps = 0
    while reconciler.reconcile():
        steps += 1
    return steps


GAPS = "SELECT platform_message_id, event_type, became FROM reconciliation_gaps_v1 ORDER BY 1, 2"
