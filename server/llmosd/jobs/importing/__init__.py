"""Turning uploaded files into a version folder. Every byte read here is a stranger's."""
