"""`python -m benchmarks.worker NAME`: one engine in a process, told what to do by lines of JSON.

Standard library only until the engine is loaded. What libraries print goes to stderr.
"""

import json
import os
import signal
import sys
import traceback
from dataclasses import asdict
from typing import Any

from benchmarks.peer import Peer, Request
from benchmarks.peers import make


def main() -> None:
    """Answer orders from stdin on what was stdout, until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it, and closes stdin
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    peer = make(sys.argv[1])
    try:
        for line in sys.stdin:
            answers.write(json.dumps(_answer(peer, json.loads(line))) + "\n")
            answers.flush()
    finally:
        peer.close()


def _answer(peer: Peer, order: dict[str, Any]) -> dict[str, Any]:
    try:
        if order["do"] == "available":
            return {"reason": peer.available()}
        if order["do"] == "load":
            return {"about": peer.load(order["gguf"])}
        batch = [Request(**request) for request in order["batch"]]
        return {"timings": [asdict(timing) for timing in peer.generate(batch)]}
    except Exception as error:  # noqa: BLE001 - whatever an engine raises, the others go on
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    main()
