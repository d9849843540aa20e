"""What an asyncio client does to keep a copy of the daemon's state."""

import asyncio
from pathlib import Path

import grpc

from llmos.v1 import backup_pb2 as pb
from llmos_client.aio_connection import AsyncConnection
from llmos_client.backups import Backup, BackupWriter
from llmos_client.upload import OnProgress


class AsyncBackupMethods(AsyncConnection):
    """The part of AsyncClient about backups."""

    async def back_up(
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
        context = self._context()
        call = self._stubs.admin.BackUpState(metadata=context.metadata)
        try:
            await call.write(pb.BackUpStateRequest())
            while not writer.add((await call.read()).files):
                pass
            for request in writer.requests():
                await call.write(request)
            await call.done_writing()
            # The iterator does not go together with the list's reads.
            while (part := await call.read()) is not grpc.aio.EOF:
                # Writing to a slow disk must not stop the loop.
                await asyncio.to_thread(writer.take, part.chunk)
            return await asyncio.to_thread(writer.finish, keep)
        except grpc.RpcError as error:
            raise context.error(error) from error
        finally:
            call.cancel()
            writer.discard()
