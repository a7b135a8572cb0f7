"""Check with a real Prometheus that real faults make each alert fire, and that there are no false alarms."""
