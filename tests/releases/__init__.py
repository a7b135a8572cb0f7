"""Samples of each release's data on disks, in queues and in databases, which later releases must read."""
