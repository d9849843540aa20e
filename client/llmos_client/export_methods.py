"""What a client does to take a version elsewhere."""

from pathlib import Path

import grpc

from llmos_client.connection import Connection
from llmos_client.download import Download, export_request
from llmos_client.exports import Export
from llmos_client.upload import OnProgress


class ExportMethods(Connection):
    """The part of Client about exports."""

    def export_model(
        self,
        name: str,
        target: Path | str,
        *,
        model_format: str | None = None,
        dtype: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> Export:
        """Write a version to a new folder, or to a .gguf file; nothing is left of half a one.

        `model_format` is "hugging_face" or "gguf", by default as `target` is named.

        Raises:
            DataCorruptError: what came differs from its digest.
        """
        download = Download(Path(target), on_progress)
        request = export_request(name, model_format, dtype, Path(target))
        context = self._context()
        call = self._stubs.models.ExportModel(request, metadata=context.metadata)
        try:
            for response in call:
                download.take(response)
            return download.finish()
        except grpc.RpcError as error:
            raise context.error(error) from error
        finally:
            call.cancel()
            download.discard()
