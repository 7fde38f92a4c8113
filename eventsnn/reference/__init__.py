"""Readable twins of the compiled kernels, named after them: the oracle of the tests."""
