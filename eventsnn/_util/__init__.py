"""Tools that every room uses: files that appear complete or not at all, locks, HDF5 of our own."""
