"""Where models come from before the daemon has them: the catalogue, pip, the Hub, a folder."""
