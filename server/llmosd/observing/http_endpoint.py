"""GET /metrics by HTTP, for Prometheus: on a Unix socket, or on a port of this machine.

The standard library parses requests, in threads of its own, so that nobody who dawdles there holds
up the daemon. A few at once, each for a few seconds: more is no scrape.
"""

import asyncio
import contextlib
import os
import socket
import socketserver
import threading
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

Render = Callable[[str], Coroutine[Any, Any, tuple[bytes, str]]]
"""The text and its content type, for a header Accept."""

_AT_ONCE = 8
_TIMEOUT_SECONDS = 5.0
_SOCKET_MODE = 0o660


class HttpEndpoint:
    """Serves from `open` to `close`."""

    def __init__(self, render: Render) -> None:
        """`render` is run on the loop in which `open` is called."""
        self._render = render
        self._server: socketserver.BaseServer | None = None

    def open(self, address: str) -> str:
        """Listen on unix:PATH, which is free, or on HOST:PORT.

        Returns:
            The address, with the port that was chosen where it was 0.

        Raises:
            OSError: the address cannot be had.
        """
        loop = asyncio.get_running_loop()

        def ask(accept: str) -> tuple[bytes, str]:
            answer = asyncio.run_coroutine_threadsafe(self._render(accept), loop)
            return answer.result(_TIMEOUT_SECONDS)

        handler = type("Handler", (_Handler,), {"ask": staticmethod(ask)})
        if address.startswith("unix:"):
            path = Path(address.removeprefix("unix:"))
            self._server = _UnixServer(str(path), handler)
            path.chmod(_SOCKET_MODE)
        else:
            host, _, port = address.rpartition(":")
            kind = _Tcp6Server if host.startswith("[") else _TcpServer
            self._server = kind((host.strip("[]"), int(port)), handler)
            address = f"{host}:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()
        return address

    async def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            await asyncio.to_thread(self._server.shutdown)
            self._server.server_close()
            if isinstance(self._server, _UnixServer):
                with contextlib.suppress(OSError):
                    os.unlink(str(self._server.server_address))  # noqa: PTH108 - it is a str


class _Handler(BaseHTTPRequestHandler):
    """One connection, one answer."""

    ask: Callable[[str], tuple[bytes, str]]
    server_version, sys_version = "llmosd", ""
    timeout = _TIMEOUT_SECONDS

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's
        """Say nothing: a scrape is no news."""

    def _answer(self, *, with_body: bool) -> None:
        if self.path.partition("?")[0] not in ("/metrics", "/metrics/"):
            self.send_error(HTTPStatus.NOT_FOUND, "only /metrics is here")
            return
        try:
            body, content_type = self.ask(self.headers.get("Accept", ""))
        except (TimeoutError, RuntimeError):  # the loop is busy, or closed
            self.send_error(HTTPStatus.SERVICE_UNAVAILABLE)
            return
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)


class _Bounded(socketserver.ThreadingMixIn):
    """Threads, but a few; who comes when all are taken is let go at once."""

    daemon_threads = True
    request_queue_size = 32
    allow_reuse_address = True

    def __init__(self, *arguments: Any) -> None:
        self._places = threading.BoundedSemaphore(_AT_ONCE)
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)  # type: ignore[attr-defined]
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a caller that hangs up is no news."""


class _UnixServer(_Bounded, socketserver.UnixStreamServer):
    pass


class _TcpServer(_Bounded, socketserver.TCPServer):
    pass


class _Tcp6Server(_TcpServer):
    address_family = socket.AF_INET6
