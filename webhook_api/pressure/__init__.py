"""Know how deep the queue is, and decide whether the edge takes more."""
