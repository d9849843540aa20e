"""Networks that can be trained: torch modules whose weights have the store's names."""
