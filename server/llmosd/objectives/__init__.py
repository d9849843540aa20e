"""What training minimizes: one file each, chosen by registry."""
