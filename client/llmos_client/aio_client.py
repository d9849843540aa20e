"""The asyncio client: the methods of `client`, awaited.

What each sends and reads is in `calls`; `aio_connection` carries it out, and
`aio_dataset_methods` has those about datasets.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

from llmos_client import calls, parsing_loads, requests, results
from llmos_client.aio_access_methods import AsyncAccessMethods
from llmos_client.aio_administration_methods import AsyncAdministrationMethods
from llmos_client.aio_backup_methods import AsyncBackupMethods
from llmos_client.aio_config_methods import AsyncConfigMethods
from llmos_client.aio_dataset_methods import AsyncDatasetMethods
from llmos_client.aio_evaluation_methods import AsyncEvaluationMethods
from llmos_client.aio_export_methods import AsyncExportMethods
from llmos_client.aio_feedback_methods import AsyncFeedbackMethods
from llmos_client.aio_latent_methods import AsyncLatentMethods
from llmos_client.aio_optimization_methods import AsyncOptimizationMethods
from llmos_client.aio_promotion_methods import AsyncPromotionMethods
from llmos_client.aio_scoring_methods import AsyncScoringMethods
from llmos_client.aio_streams import AsyncConversation, AsyncEventStream, AsyncGenerationStream
from llmos_client.aio_training_methods import AsyncTrainingMethods
from llmos_client.generations import Generation
from llmos_client.loads import Load
from llmos_client.options import GenerateOptions, MessageLike
from llmos_client.upload import LocalFile, OnProgress, Uploading, make_header, read_files


class AsyncClient(
    AsyncDatasetMethods,
    AsyncTrainingMethods,
    AsyncEvaluationMethods,
    AsyncOptimizationMethods,
    AsyncFeedbackMethods,
    AsyncLatentMethods,
    AsyncPromotionMethods,
    AsyncExportMethods,
    AsyncScoringMethods,
    AsyncAccessMethods,
    AsyncAdministrationMethods,
    AsyncConfigMethods,
    AsyncBackupMethods,
):
    """A connection to the daemon; `timeout` is the deadline of small calls, in seconds.

    `tenant` is for whom the calls are made: tenants share a model fairly, and no cached prompts.
    `token` and the files of TLS are as with Client.

    Belongs to the event loop of its first call. Without an address: LLMOS_ADDRESS, else the
    usual sockets.
    """

    async def generate(
        self,
        model: str,
        prompt: str | None = None,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - gRPC's deadline, which the daemon sees
        **options: Unpack[GenerateOptions],
    ) -> Generation:
        """Answer a prompt, messages=[...] or tokens=[...], whole."""
        return await self._call(calls.generate(model, prompt, timeout, **options))

    def stream(
        self,
        model: str,
        prompt: str | None = None,
        *,
        timeout: float | None = None,
        **options: Unpack[GenerateOptions],
    ) -> AsyncGenerationStream:
        """Answer as it grows: an iterator of events, to be used in an `async with` block."""
        request = requests.generate_request(model, prompt, **options)
        context = self._context()
        call = self._stubs.generation.StreamGenerate(
            request, timeout=timeout, metadata=context.metadata
        )
        return AsyncGenerationStream(call, context)

    def converse(self, *, timeout: float | None = None) -> AsyncConversation:
        """Open one stream for many generations, to be used in an `async with` block.

        `timeout`, in seconds, is the deadline of the stream, and of every generation on it.
        """
        context = self._context()

        call = self._stubs.generation.Converse(timeout=timeout, metadata=context.metadata)
        return AsyncConversation(call, context)

    async def cancel_generation(self, generation: str) -> results.CancelOutcome:
        """End a generation by the name that its Started event has."""
        return await self._call(calls.cancel_generation(generation))

    async def count_tokens(
        self,
        model: str,
        prompt: str | None = None,
        *,
        messages: Sequence[MessageLike] | None = None,
        tools: Sequence[Any] = (),
        parse_special: bool = False,
    ) -> results.TokenCount:
        """Count a prompt's tokens; the model need not be loaded."""
        request = requests.count_request(
            model, prompt, messages=messages, tools=tools, parse_special=parse_special
        )
        return await self._call(calls.count_tokens(request))

    async def tokenize(
        self, model: str, text: str, *, add_special: bool = False, parse_special: bool = False
    ) -> tuple[results.Token, ...]:
        """Cut a text into tokens."""
        call = calls.tokenize(model, text, add_special=add_special, parse_special=parse_special)
        return await self._call(call)

    async def detokenize(
        self, model: str, ids: Sequence[int], *, keep_special: bool = False
    ) -> str:
        """Join tokens to a text."""
        return await self._call(calls.detokenize(model, ids, keep_special=keep_special))

    async def render_chat(
        self,
        model: str,
        messages: Sequence[MessageLike],
        *,
        tools: Sequence[Any] = (),
    ) -> results.RenderedChat:
        """Show what the model's chat template makes of a conversation."""
        return await self._call(calls.render_chat(model, messages, tools))

    async def list_models(self) -> list[results.Model]:
        """List the installed models."""
        models, token = await self._call(calls.list_models(""))
        while token:
            page, token = await self._call(calls.list_models(token))
            models += page
        return models

    async def get_model(self, name: str) -> results.Model:
        """Get a model."""
        return await self._call(calls.get_model(name))

    async def list_versions(self, model: str = "-") -> list[results.ModelVersion]:
        """List a model's versions; "-" means all models."""
        versions, token = await self._call(calls.list_versions(model, ""))
        while token:
            page, token = await self._call(calls.list_versions(model, token))
            versions += page
        return versions

    async def get_version(self, name: str) -> results.ModelVersion:
        """Get a version by models/ID/versions/N, models/ID@ALIAS or models/ID (the live one)."""
        return await self._call(calls.get_version(name))

    async def list_tensors(self, name: str) -> list[results.TensorInfo]:
        """List a version's weights: names, shapes, types."""
        return await self._call(calls.list_tensors(name))

    async def delete_model(self, name: str, *, force: bool = False) -> None:
        """Remove a model with all its versions."""
        await self._call(calls.delete_model(name, force=force))

    async def delete_version(self, name: str, *, force: bool = False) -> None:
        """Remove one version."""
        await self._call(calls.delete_version(name, force=force))

    async def upload_model(
        self,
        model_id: str,
        files: Sequence[Path | str | LocalFile],
        *,
        model_format: str | None = None,
        license: str = "",  # noqa: A002 - the field's name
        source: str = "",
        dtype: str | None = None,
        sampling: Mapping[str, float] | None = None,
        alias: str = "",
        base: str = "",
        request_id: str = "",
        on_progress: OnProgress | None = None,
    ) -> results.Operation[results.ModelVersion]:
        """Send a model's files; the operation returned converts them into a new version.

        It gets the `alias`, "live" by default. `sampling` are the version's defaults, such as
        {"temperature": 0.2}. `base` is a version that the files are an adapter to, as peft has it.
        """
        local = await asyncio.to_thread(read_files, files, on_progress)
        header = make_header(
            model_id,
            local,
            model_format=model_format,
            license=license,
            source=source,
            dtype=dtype,
            sampling=sampling,
            alias=alias,
            base=base,
            request_id=request_id,
        )
        return await self._upload(Uploading(header, local, on_progress))

    async def load_model(
        self,
        name: str,
        *,
        wait: bool = True,
        on_progress: OnProgress | None = None,
        keep_alive: float | None = None,
        dtype: str | None = None,
        validate_only: bool = False,
        request_id: str = "",
    ) -> results.Operation[results.LoadResult]:
        """Make a version ready to answer; keep_alive in seconds, negative: never unload."""
        request = requests.load_request(
            name,
            keep_alive=keep_alive,
            dtype=dtype,
            request_id=request_id,
            validate_only=validate_only,
        )
        operation = await self._call(calls.load_model(request))
        return await self.wait_operation(operation, on_progress) if wait else operation

    async def unload_model(
        self,
        name: str,
        *,
        force: bool = False,
        wait: bool = True,
        on_progress: OnProgress | None = None,
        request_id: str = "",
    ) -> results.Operation[results.UnloadResult]:
        """End a model's process."""
        operation = await self._call(calls.unload_model(name, force=force, request_id=request_id))
        return await self.wait_operation(operation, on_progress) if wait else operation

    async def server_info(self) -> results.ServerInfo:
        """Describe the daemon and its machine."""
        return await self._call(calls.server_info())

    async def health(self, name: str = "") -> results.Health:
        """Ask how the daemon (""), a service or a model ("models/ID") is."""
        return await self._call(calls.health(name))

    def watch_load(self, *, interval: float = 1.0) -> AsyncEventStream[Load]:
        """Follow what the models have to do; to be used in an `async with` block."""
        context = self._context()
        call = self._stubs.admin.WatchLoad(
            requests.watch_load_request(interval), metadata=context.metadata
        )
        return AsyncEventStream(call, parsing_loads.load, context)
