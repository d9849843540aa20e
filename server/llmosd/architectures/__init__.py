"""Networks the engine can run: one file each, chosen by registry."""
