"""What surrounds a classifier: adapting, keeping, estimating and reading."""
