"""How good texts and answers are: one file per family, chosen by registry."""
