"""A client that means no harm, beside those that do: what it hears, and how soon."""

import threading
import time

import grpc
import numpy as np

import threats


class Honest:
    """One call after the other on a connection of its own, as long as the block runs."""

    def __init__(self, address, path):
        self._channel = grpc.insecure_channel(address, options=threats.OPTIONS)
        self._call = self._channel.unary_unary(path)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._seconds = []
        self.codes = {}

    def __enter__(self):
        self._call(b"", timeout=30)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
        self._channel.close()

    def _run(self):
        while not self._stop.is_set():
            began = time.monotonic()
            code = "OK"
            try:
                self._call(b"", timeout=60)
            except grpc.RpcError as error:
                code = error.code().name
            self._seconds.append(time.monotonic() - began)
            self.codes[code] = self.codes.get(code, 0) + 1

    @property
    def p99_ms(self):
        """Of a hundred calls one took longer."""
        return round(float(np.percentile(self._seconds, 99)) * 1000, 1)
