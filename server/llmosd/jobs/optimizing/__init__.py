"""Optimizing: from versions to a smaller, a faster or a merged one."""
