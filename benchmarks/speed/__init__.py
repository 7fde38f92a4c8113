"""How fast: figures tracked from commit to commit, and the same work done by rivals."""
