"""Provide the test rig of chaos and benchmarks: it runs the product, sends load and keeps a ledger."""
