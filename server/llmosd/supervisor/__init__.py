"""Which models are in memory, and the processes that hold them."""
