"""`python -m llmosd.jobs FD`: the process of one job; FD is its end of a socket pair."""

import sys

from llmosd.jobs.worker import run

if __name__ == "__main__":
    sys.exit(run(int(sys.argv[1])))
