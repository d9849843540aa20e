"""The sync client. What each method sends and reads is in `calls`; `connection` carries it out."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

from llmos_client import calls, parsing_loads, requests, results
from llmos_client.access_methods import AccessMethods
from llmos_client.administration_methods import AdministrationMethods
from llmos_client.backup_methods import BackupMethods
from llmos_client.config_methods import ConfigMethods
from llmos_client.dataset_methods import DatasetMethods
from llmos_client.evaluation_methods import EvaluationMethods
from llmos_client.export_methods import ExportMethods
from llmos_client.feedback_methods import FeedbackMethods
from llmos_client.generations import Generation
from llmos_client.latent_methods import LatentMethods
from llmos_client.loads import Load
from llmos_client.optimization_methods import OptimizationMethods
from llmos_client.options import GenerateOptions, MessageLike
from llmos_client.promotion_methods import PromotionMethods
from llmos_client.scoring_methods import ScoringMethods
from llmos_client.streams import Conversation, EventStream, GenerationStream
from llmos_client.training_methods import TrainingMethods
from llmos_client.upload import LocalFile, OnProgress, Uploading, make_header, read_files


class Client(
    DatasetMethods,
    TrainingMethods,
    EvaluationMethods,
    OptimizationMethods,
    FeedbackMethods,
    LatentMethods,
    PromotionMethods,
    ExportMethods,
    ScoringMethods,
    AccessMethods,
    AdministrationMethods,
    ConfigMethods,
    BackupMethods,
):
    """A connection to the daemon; `timeout` is the deadline of small calls, in seconds.

    `tenant` is for whom the calls are made: tenants share a model fairly, and no cached prompts.
    `token` (else LLMOS_TOKEN) says who calls, and is for a tenant of its own. To tls:HOST:PORT
    `tls_ca` is the file of who made the daemon's certificate, and `tls_cert` and `tls_key` are the
    client's (else LLMOS_TLS_CA, LLMOS_TLS_CERT, LLMOS_TLS_KEY).

    May be used from several threads. Without an address: LLMOS_ADDRESS, else the usual sockets.
    """

    def generate(
        self,
        model: str,
        prompt: str | None = None,
        *,
        timeout: float | None = None,
        **options: Unpack[GenerateOptions],
    ) -> Generation:
        """Answer a prompt, messages=[...] or tokens=[...], whole."""
        return self._call(calls.generate(model, prompt, timeout, **options))

    def stream(
        self,
        model: str,
        prompt: str | None = None,
        *,
        timeout: float | None = None,
        **options: Unpack[GenerateOptions],
    ) -> GenerationStream:
        """Answer as it grows: an iterator of events, to be used in a `with` block."""
        request = requests.generate_request(model, prompt, **options)
        context = self._context()
        call = self._stubs.generation.StreamGenerate(
            request, timeout=timeout, metadata=context.metadata
        )
        return GenerationStream(call, context)

    def converse(self, *, timeout: float | None = None) -> Conversation:
        """Open one stream for many generations, to be used in a `with` block.

        `timeout`, in seconds, is the deadline of the stream, and of every generation on it.
        """
        context = self._context()

        def open_call(outgoing: Iterator[Any]) -> Any:
            return self._stubs.generation.Converse(
                outgoing, timeout=timeout, metadata=context.metadata
            )

        return Conversation(open_call, context)

    def cancel_generation(self, generation: str) -> results.CancelOutcome:
        """End a generation by the name that its Started event has."""
        return self._call(calls.cancel_generation(generation))

    def count_tokens(
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
        return self._call(calls.count_tokens(request))

    def tokenize(
        self, model: str, text: str, *, add_special: bool = False, parse_special: bool = False
    ) -> tuple[results.Token, ...]:
        """Cut a text into tokens."""
        call = calls.tokenize(model, text, add_special=add_special, parse_special=parse_special)
        return self._call(call)

    def detokenize(self, model: str, ids: Sequence[int], *, keep_special: bool = False) -> str:
        """Join tokens to a text."""
        return self._call(calls.detokenize(model, ids, keep_special=keep_special))

    def render_chat(
        self,
        model: str,
        messages: Sequence[MessageLike],
        *,
        tools: Sequence[Any] = (),
    ) -> results.RenderedChat:
        """Show what the model's chat template makes of a conversation."""
        return self._call(calls.render_chat(model, messages, tools))

    def list_models(self) -> list[results.Model]:
        """List the installed models."""
        models, token = self._call(calls.list_models(""))
        while token:
            page, token = self._call(calls.list_models(token))
            models += page
        return models

    def get_model(self, name: str) -> results.Model:
        """Get a model."""
        return self._call(calls.get_model(name))

    def list_versions(self, model: str = "-") -> list[results.ModelVersion]:
        """List a model's versions; "-" means all models."""
        versions, token = self._call(calls.list_versions(model, ""))
        while token:
            page, token = self._call(calls.list_versions(model, token))
            versions += page
        return versions

    def get_version(self, name: str) -> results.ModelVersion:
        """Get a version by models/ID/versions/N, models/ID@ALIAS or models/ID (the live one)."""
        return self._call(calls.get_version(name))

    def list_tensors(self, name: str) -> list[results.TensorInfo]:
        """List a version's weights: names, shapes, types."""
        return self._call(calls.list_tensors(name))

    def delete_model(self, name: str, *, force: bool = False) -> None:
        """Remove a model with all its versions."""
        self._call(calls.delete_model(name, force=force))

    def delete_version(self, name: str, *, force: bool = False) -> None:
        """Remove one version."""
        self._call(calls.delete_version(name, force=force))

    def upload_model(
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
        local = read_files(files, on_progress)
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
        return self._upload(Uploading(header, local, on_progress))

    def load_model(
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
        operation = self._call(calls.load_model(request))
        return self.wait_operation(operation, on_progress) if wait else operation

    def unload_model(
        self,
        name: str,
        *,
        force: bool = False,
        wait: bool = True,
        on_progress: OnProgress | None = None,
        request_id: str = "",
    ) -> results.Operation[results.UnloadResult]:
        """End a model's process."""
        operation = self._call(calls.unload_model(name, force=force, request_id=request_id))
        return self.wait_operation(operation, on_progress) if wait else operation

    def server_info(self) -> results.ServerInfo:
        """Describe the daemon and its machine."""
        return self._call(calls.server_info())

    def health(self, name: str = "") -> results.Health:
        """Ask how the daemon (""), a service or a model ("models/ID") is."""
        return self._call(calls.health(name))

    def watch_load(self, *, interval: float = 1.0) -> EventStream[Load]:
        """Follow what the models have to do, every `interval` seconds; use it in a `with` block."""
        context = self._context()
        call = self._stubs.admin.WatchLoad(
            requests.watch_load_request(interval), metadata=context.metadata
        )
        return EventStream(call, parsing_loads.load, context)
