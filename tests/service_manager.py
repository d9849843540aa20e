"""Who listens to a daemon as systemd does; `import service_manager` finds it from any test."""

import socket
import threading


class Manager:
    """Reads a socket as sd_notify(3) has it; `said` is all that came."""

    def __init__(self, path):
        self.path = str(path)
        self.said = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self):
        while message := self._socket.recv(4096):
            self.said.append(message.decode())

    def close(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self.path)
        self._thread.join()
        self._socket.close()
