"""Compiled kernels. They trust their callers: use the Python drivers, which check."""
