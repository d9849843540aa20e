"""From a TrainModelRequest to the spec of a run: names resolved, misfits refused."""

import math
from typing import Any

from google.protobuf.message import Message

from llmos.v1 import training_service_pb2 as pb
from llmosd import device
from llmosd.architectures.families.table import families, family_of
from llmosd.config import Config
from llmosd.errors import InvalidField
from llmosd.jobs.specs import (
    AdversarialSpec,
    LatentSpec,
    LoraSpec,
    Objective,
    OptimizerSpec,
    PrivacySpec,
    ScheduleSpec,
    StoppingSpec,
    TrainSpec,
)
from llmosd.rpc.training_checks import check_counted, check_heads, check_private, check_sampling
from llmosd.rpc.training_start import base_of, lora_of
from llmosd.store.catalog import Catalog
from llmosd.store.datasets import DatasetStore
from llmosd.store.manifest import TOKENIZER
from llmosd.store.names import DatasetRef, ModelRef
from llmosd.store.records import DatasetVersionRecord, VersionRecord
from llmosd.store.versions import VersionStore

# What is learned from rows of a kind, the default first.
_OBJECTIVES: dict[str, tuple[Objective, ...]] = {
    "text": ("language_model", "masked_language_model", "distill", "vae", "seqgan"),
    "chat": ("sft", "distill", "language_model"),
    "pairs": ("sft", "distill", "language_model"),
    "labelled": ("classify",),
    "graded": ("regress",),
    "preference": ("dpo",),
    "rated": ("kto",),
}
# These compare with what the weights said before.
_FROM_WEIGHTS: frozenset[Objective] = frozenset({"dpo", "kto"})
# The most of each size: far beyond what one machine trains, near enough to be counted at once.
_SIZES = {
    "encoder_layers": 1024,
    "num_layers": 1024,
    "latent_size": 4096,
    "hidden_size": 1 << 18,
    "intermediate_size": 1 << 20,
    "num_heads": 4096,
    "num_kv_heads": 4096,
    "head_dim": 4096,
    "context_length": 1 << 20,
}
_SWITCHES = frozenset(
    {"tie_embeddings", "qkv_bias", "output_bias", "mlp_bias", "norm_bias", "qk_norm"}
)


class TrainingSpecs:
    """Makes specs of requests."""

    def __init__(
        self, config: Config, catalog: Catalog, store: VersionStore, datasets: DatasetStore
    ) -> None:
        self._config = config
        self._catalog = catalog
        self._store = store
        self._datasets = datasets

    def make(self, request: pb.TrainModelRequest) -> tuple[TrainSpec, list[str]]:
        """The spec, and the names of the versions, of datasets and models, that the run reads.

        Raises:
            InvalidField: parts that do not fit together.
            ModelNotFound, DatasetNotFound: a name that means nothing.
        """
        if bool(request.family) == bool(request.init_from):
            raise InvalidField.of(
                "family", "set either it, for a network from scratch, or init_from, and not both"
            )
        data = self._dataset(request.dataset, "dataset")
        held_out = None
        if request.validation_dataset:
            held_out = self._dataset(request.validation_dataset, "validation_dataset")
            if held_out.kind != data.kind:
                raise InvalidField.of(
                    "validation_dataset", f"has rows of kind {held_out.kind}, not {data.kind}"
                )
        base = self._model(request.init_from, "init_from")
        objective = _objective(request, data.kind, base.architecture if base else request.family)
        self._check_base(request, objective, base)
        family = family_of(base.architecture if base else request.family)
        check_counted(request, family)
        check_sampling(objective, request, family)
        teacher = self._model(request.teacher, "teacher")
        check_heads(self._store, objective, init_from=base, teacher=teacher)
        values = self._values(request, objective, data, base)
        under = base_of(self._catalog, self._store, base, objective) if base else None
        if base is not None and under is not None:
            values |= {"init_from": self._place(under), "base": under.name}
            values |= {"adapter": self._place(base), "adapter_name": base.name}
            if values["method"] == "lora":
                values["lora"] = lora_of(self._store, base, given_of(request.lora))
        if held_out is not None:
            values["validation"] = self._folder(held_out)
        models = [
            self._model(getattr(request, field), field)
            for field in ("init_from", "tokenizer_from", "teacher")
        ]
        every = (data, held_out, under, *models)
        used = [record.name for record in every if record is not None]
        return _build(values, request), used

    def _values(
        self,
        request: pb.TrainModelRequest,
        objective: Objective,
        data: DatasetVersionRecord,
        base: VersionRecord | None,
    ) -> dict[str, Any]:
        """Everything but the settings."""
        values: dict[str, Any] = {
            "model_id": request.model_id,
            "objective": objective,
            "method": "lora" if request.method == pb.TRAINING_METHOD_LORA else "full",
            "family": request.family,
            "shape": _shape(request),
            "dataset": self._folder(data),
            "dataset_name": data.name,
            "dataset_digest": data.digest,
            "samples": tuple(request.samples),
            "license": request.license,
            "device": "cuda" if self._on_gpu() else "cpu",
            "threads": self._config.threads or device.cpu_count(),
        }
        if base is not None:
            values |= {"init_from": self._place(base), "base": base.name}
            values["license"] = request.license or base.license
        source = self._model(request.tokenizer_from, "tokenizer_from")
        if source is not None:
            values["tokenizer"] = self._place(source)
        if request.tokenizer_kind:
            kind = pb.TokenizerKind.Name(request.tokenizer_kind)
            values["tokenizer_kind"] = kind.removeprefix("TOKENIZER_KIND_").lower()
        if request.HasField("vocabulary_size"):
            values["vocabulary_size"] = request.vocabulary_size
        if objective == "distill" or (objective == "seqgan" and request.teacher):
            values["teacher"] = self._teacher(request, base or source)
        return values

    def _check_base(
        self, request: pb.TrainModelRequest, objective: Objective, base: VersionRecord | None
    ) -> None:
        if base is None:
            if request.method == pb.TRAINING_METHOD_LORA:
                raise InvalidField.of("init_from", "an adapter needs a version to start from")
            if objective in _FROM_WEIGHTS:
                raise InvalidField.of("init_from", f"{objective} starts from a trained version")
        elif request.tokenizer_from or request.tokenizer_kind:
            raise InvalidField.of(
                "tokenizer_from", "the tokenizer is that of the version in init_from"
            )
        family = family_of(base.architecture if base else request.family)
        if request.method == pb.TRAINING_METHOD_LORA and not family.adapters:
            raise InvalidField.of(
                "method", f"adapters are for Transformers; train the {family.name} whole"
            )
        if objective not in family.objectives:
            fit = [each.name for each in families().values() if objective in each.objectives]
            raise InvalidField.of(
                "objective",
                f"{objective} trains a network of family {', '.join(fit)}; not {family.name}",
            )

    def _teacher(self, request: pb.TrainModelRequest, student: VersionRecord | None) -> str:
        """The teacher's folder; it has to speak the student's tokens."""
        teacher = self._model(request.teacher, "teacher")
        if teacher is None:
            raise InvalidField.of("teacher", "the objective distill needs one")
        if student is None:
            raise InvalidField.of(
                "tokenizer_from", "a student from scratch takes its teacher's tokenizer: name it"
            )
        digests = [
            self._store.manifest(each.model_id, each.version).files[TOKENIZER].sha256
            for each in (teacher, student)
        ]
        if digests[0] != digests[1]:
            raise InvalidField.of("teacher", f"{teacher.name} has another tokenizer")
        return self._place(teacher)

    def _dataset(self, name: str, field: str) -> DatasetVersionRecord:
        return self._catalog.datasets.resolve(DatasetRef.parse(name, field))

    def _model(self, name: str, field: str) -> VersionRecord | None:
        return self._catalog.resolve(ModelRef.parse(name, field)) if name else None

    def _folder(self, record: DatasetVersionRecord) -> str:
        return str(self._datasets.place(record.dataset_id, record.version))

    def _place(self, record: VersionRecord) -> str:
        return str(self._store.place(record.model_id, record.version))

    def _on_gpu(self) -> bool:
        return self._config.device == "cuda" or (
            self._config.device == "auto" and device.has_cuda()
        )


def _objective(request: pb.TrainModelRequest, kind: str, family: str) -> Objective:
    known = _OBJECTIVES[kind]
    if not request.objective:
        fit = family_of(family).objectives
        return next((each for each in known if each in fit), known[0])
    name = pb.TrainingObjective.Name(request.objective)
    wanted = name.removeprefix("TRAINING_OBJECTIVE_").lower()
    for objective in known:
        if objective == wanted:
            return objective
    raise InvalidField.of(
        "objective", f"rows of kind {kind} are for {', '.join(known)}, not for {wanted}"
    )


def _shape(request: pb.TrainModelRequest) -> dict[str, int | float | bool]:
    """The sizes from scratch, each as its field's type."""
    if request.shape and not request.family:
        raise InvalidField.of("shape", "is that of the version in init_from")
    shape: dict[str, int | float | bool] = {}
    for name, value in request.shape.items():
        if name in _SIZES:
            if not 1 <= value <= _SIZES[name] or value != int(value):
                raise InvalidField.of(
                    f"shape.{name}", f"must be a whole number of 1 to {_SIZES[name]}"
                )
            shape[name] = int(value)
        elif name in _SWITCHES:
            if value not in (0, 1):
                raise InvalidField.of(f"shape.{name}", "must be 0 or 1")
            shape[name] = bool(value)
        elif name == "norm_eps":
            if not 0 < value < 1:
                raise InvalidField.of(f"shape.{name}", "must be above 0 and below 1")
            shape[name] = value
        else:
            known = ", ".join(sorted([*_SIZES, *_SWITCHES, "norm_eps"]))
            raise InvalidField.of(f"shape.{name}", f"is not known; known are {known}")
    return shape


def _build(values: dict[str, Any], request: pb.TrainModelRequest) -> TrainSpec:
    values |= given_of(request.parameters)
    values["optimizer"] = OptimizerSpec(**given_of(request.optimizer))
    values["schedule"] = ScheduleSpec(**given_of(request.schedule))
    values.setdefault("lora", LoraSpec(**given_of(request.lora)))
    values["latent"] = LatentSpec(**given_of(request.latent))
    if request.HasField("latent") and values["objective"] != "vae":
        raise InvalidField.of("latent", f"is for the objective vae, not for {values['objective']}")
    if request.HasField("privacy"):
        values["privacy"] = PrivacySpec(**given_of(request.privacy))
        check_private(values["objective"], request)
    if request.HasField("early_stopping"):
        values["early_stopping"] = StoppingSpec(**given_of(request.early_stopping))
    if values["objective"] == "seqgan":
        values["adversarial"] = AdversarialSpec(**given_of(request.adversarial))
    elif request.HasField("adversarial"):
        raise InvalidField.of("adversarial", "is of the objective seqgan")
    spec = TrainSpec(**values)
    if spec.batch_size % spec.accumulation:
        raise InvalidField.of(
            "parameters.accumulation", f"must divide batch_size, {spec.batch_size}"
        )
    if spec.answer_rows and spec.objective != "sft":
        raise InvalidField.of("parameters.answer_rows", "is for answers to prompts, objective sft")
    if spec.early_stopping is not None and not spec.evaluate_every:
        raise InvalidField.of("parameters.evaluate_every", "early stopping needs evaluations")
    return spec


def given_of(message: Message) -> dict[str, Any]:
    """The fields that were set, by name."""
    given = {field.name: value for field, value in message.ListFields()}
    for name, value in given.items():
        if isinstance(value, float) and not math.isfinite(value):
            part = message.DESCRIPTOR.name.removeprefix("Training").lower()
            raise InvalidField.of(f"{part}.{name}", "must be finite")
    return {
        name: tuple(value) if not isinstance(value, str | int | float | bool) else value
        for name, value in given.items()
    }
