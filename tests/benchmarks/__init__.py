"""Measure the service against alternatives that a team might choose: `make bench`, `make bench-quick`."""
