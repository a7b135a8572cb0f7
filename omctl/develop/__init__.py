"""Help developers of senders and receivers of events; each module is public."""
