"""Engines: thin drivers that check once, run a kernel in bounded chunks and return a `SpikeRecord`."""
