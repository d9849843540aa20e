"""From rows of a dataset to tokens on disk."""
