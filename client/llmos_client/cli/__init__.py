"""The command llmos. Nothing heavy is imported before a command runs."""
