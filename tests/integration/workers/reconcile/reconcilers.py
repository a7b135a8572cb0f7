"""Put a reconciler together, as its role does."""

from workers.reconcile import Reconciler


def reconciler_of(engine, clock, history, *, exchange, settings, holder):
    """Return the reconciler of one process."""
    return Reconciler(engine, clock, history, exchange=exchange, settings=settings, holder=holder)
