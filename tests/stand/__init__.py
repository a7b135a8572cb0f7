"""Parts that chaos and benchmarks share: one launcher, one open-loop sender, one ledger."""
