"""Put a reconciler together, as its role does."""

from workers.reconcile import Checker, Comparer, Reconciler


def reconciler_of(engine, clock, history, *, exchange, settings, holder):
    """Return the reconciler of one process, which nobody stops."""
    checker = Checker(engine, history, receipts=settings.receipts)
    comparer = Comparer(engine, clock, checker, exchange, holder=holder, again=False)
    parts = {"exchange": exchange, "settings": settings, "holder": holder, "is_stopped": lambda: False}
    return Reconciler(engine, clock, history, comparer, **parts)
