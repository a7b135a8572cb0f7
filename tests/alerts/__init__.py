"""Check with a real Prometheus that each alert fires in its real fault, and that no other alert fires."""
