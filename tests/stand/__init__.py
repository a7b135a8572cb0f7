"""Provide the test rig for chaos and benchmarks: it runs the product, sends load and keeps a ledger."""
