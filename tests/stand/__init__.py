"""Start the product, send open-loop load and keep a ledger, for both chaos and benchmarks."""
