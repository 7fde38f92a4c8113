"""Rivals that need the extra `bench`."""
