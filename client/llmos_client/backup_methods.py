"""What a client does to keep a copy of the daemon's state."""

import queue
from pathlib import Path

import grpc

from llmos.v1 import backup_pb2 as pb
from llmos_client.backups import Backup, BackupWriter
from llmos_client.connection import Connection
from llmos_client.upload import OnProgress


class BackupMethods(Connection):
    """The part of Client about backups."""

    def back_up(
        self,
        folder: Path | str,
        *,
        keep: int | None = None,
        on_progress: OnProgress | None = None,
    ) -> Backup:
        """Add a snapshot of the daemon's state to a folder; only what is new there is sent.

        With `keep`, of all snapshots there only that many stay, the newest.

        Raises:
            DataCorruptError: a file of the daemon is damaged; there is no snapshot then.
            BlockingIOError: another backup is being written to the folder.
        """
        writer = BackupWriter(Path(folder), on_progress)
        outbox = queue.SimpleQueue[pb.BackUpStateRequest | None]()
        outbox.put(pb.BackUpStateRequest())
        context = self._context()
        call = self._stubs.admin.BackUpState(iter(outbox.get, None), metadata=context.metadata)
        try:
            while not writer.add(next(call).files):
                pass
            for request in (*writer.requests(), None):
                outbox.put(request)
            for part in call:
                writer.take(part.chunk)
            return writer.finish(keep)
        except grpc.RpcError as error:
            raise context.error(error) from error
        finally:
            outbox.put(None)
            call.cancel()
            writer.discard()
