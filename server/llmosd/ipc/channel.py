"""Length-prefixed MessagePack frames over a Unix socket pair, one blocking end and one asyncio end.

A frame is a 4-byte little-endian length and a msgspec-encoded tagged struct. No pickle: a child
that was taken over can send nothing but these types. Knows nothing of what the messages mean.
"""

import asyncio
import socket
import struct
import threading
from typing import Any

import msgspec

_LENGTH = struct.Struct("<I")
MAX_FRAME = 256 * 1024 * 1024


class ChannelClosed(Exception):
    """The other end is gone."""


class Channel:
    """The child's end: blocking; `receive` and `send` may run in different threads."""

    def __init__(self, sock: socket.socket, incoming: Any) -> None:
        """`incoming` is the union of structs that may arrive."""
        self._sock = sock
        self._decoder = msgspec.msgpack.Decoder(incoming)
        self._encoder = msgspec.msgpack.Encoder()
        self._lock = threading.Lock()

    def send(self, message: msgspec.Struct) -> None:
        """Write one frame; raises ChannelClosed when nobody reads any more."""
        body = self._encoder.encode(message)
        try:
            with self._lock:
                self._sock.sendall(_LENGTH.pack(len(body)) + body)
        except OSError as error:
            raise ChannelClosed from error

    def receive(self) -> Any:
        """Read one message; raises ChannelClosed at the end of the stream."""
        (length,) = _LENGTH.unpack(self._read(_LENGTH.size))
        return self._decoder.decode(self._read(length))

    def _read(self, size: int) -> bytes:
        chunks = bytearray()
        while len(chunks) < size:
            try:
                chunk = self._sock.recv(size - len(chunks))
            except OSError as error:
                raise ChannelClosed from error
            if not chunk:
                raise ChannelClosed
            chunks += chunk
        return bytes(chunks)


class AsyncChannel:
    """The front's end, on the event loop."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, incoming: Any
    ) -> None:
        """Use `open`."""
        self._reader = reader
        self._writer = writer
        self._decoder = msgspec.msgpack.Decoder(incoming)
        self._encoder = msgspec.msgpack.Encoder()

    @classmethod
    async def open(cls, sock: socket.socket, incoming: Any) -> "AsyncChannel":
        """Wrap a connected socket; `incoming` is the union of structs that may arrive."""
        reader, writer = await asyncio.open_unix_connection(sock=sock, limit=1 << 20)
        return cls(reader, writer, incoming)

    def send(self, message: msgspec.Struct) -> None:
        """Queue one frame. Frames to children are small and bounded by admission."""
        if not self._writer.is_closing():
            body = self._encoder.encode(message)
            self._writer.write(_LENGTH.pack(len(body)) + body)

    async def receive(self) -> Any:
        """Read one message; raises ChannelClosed at the end, or on bytes that are no message."""
        try:
            (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
            if length > MAX_FRAME:
                raise ChannelClosed
            return self._decoder.decode(await self._reader.readexactly(length))
        except (asyncio.IncompleteReadError, ConnectionError, msgspec.MsgspecError) as error:
            raise ChannelClosed from error

    def close(self) -> None:
        """Close the socket; the child sees the end of its stream."""
        self._writer.close()
