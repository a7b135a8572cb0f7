"""Measure the service against what one would pick instead: `make bench`, `make bench-quick`."""
