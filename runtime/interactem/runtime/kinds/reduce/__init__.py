"""Reduce: messages are gathered by key and window, and the kernel is called with all of one."""
