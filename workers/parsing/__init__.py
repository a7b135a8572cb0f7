"""Turn raw bodies into events: dialects, timestamps, keys, drift."""
