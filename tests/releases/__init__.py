"""Samples of the data on disks, in queues and in databases that each release leaves for later releases."""
