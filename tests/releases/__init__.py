"""Samples of the data that each release leaves on disks, in queues and in databases for later releases."""
