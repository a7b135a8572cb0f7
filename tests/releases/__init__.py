"""Samples of what each release left on disks, in queues and in databases; later releases must read them."""
