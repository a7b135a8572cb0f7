"""What each release left on disks, in queues and in databases, and must still be readable."""
