"""Check with a real Prometheus that real faults make each alert fire, and that no alert fires falsely."""
