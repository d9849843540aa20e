"""A TrainModelRequest from names and values, as keyword arguments and command lines have them."""

import math
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from llmos.v1 import training_service_pb2 as pb
from llmos_client.errors import FieldViolation, InvalidFieldError

_PARTS = (
    "optimizer", "schedule", "lora", "latent", "adversarial", "privacy", "early_stopping",
)  # fmt: skip
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
_FLOATS = (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT)


def setting_names() -> list[str]:
    """Every name that `settings` may have, as "steps" or "optimizer.learning_rate"."""
    plain = [field.name for field in pb.TrainingParameters.DESCRIPTOR.fields]
    parts = pb.TrainModelRequest.DESCRIPTOR.fields_by_name
    plain += [name for name in ("tokenizer_kind", "vocabulary_size") if name in parts]
    for part in _PARTS:
        inner: Any = parts[part].message_type
        plain += [f"{part}.{field.name}" for field in inner.fields]
    return [*plain, "shape.NAME"]


def train_request(
    model_id: str,
    dataset: str,
    *,
    objective: str | None = None,
    method: str | None = None,
    family: str = "",
    init_from: str = "",
    validation_dataset: str = "",
    tokenizer_from: str = "",
    teacher: str = "",
    samples: Sequence[str] = (),
    license: str = "",  # noqa: A002 - the field's name
    settings: Mapping[str, Any] | None = None,
    request_id: str = "",
) -> pb.TrainModelRequest:
    """Build a TrainModelRequest; `settings` by the names of `setting_names`.

    Raises:
        InvalidFieldError: a setting that is not known, or whose value cannot be read.
    """
    request = pb.TrainModelRequest(
        model_id=model_id,
        dataset=dataset,
        family=family,
        init_from=init_from,
        validation_dataset=validation_dataset,
        tokenizer_from=tokenizer_from,
        teacher=teacher,
        samples=samples,
        license=license,
        request_id=request_id,
    )
    if objective:
        kinds = pb.TrainingObjective
        request.objective = _enum(kinds, "TRAINING_OBJECTIVE_", objective, "objective")
    if method:
        request.method = _enum(pb.TrainingMethod, "TRAINING_METHOD_", method, "method")
    for name, value in (settings or {}).items():
        _apply(request, name, value)
    return request


def field_path(name: str) -> str:
    """Spell the field of TrainModelRequest that a setting's name means."""
    part = name.partition(".")[0]
    plain = name in ("tokenizer_kind", "vocabulary_size", "family", "method", "objective")
    return name if plain or part in (*_PARTS, "shape") else f"parameters.{name}"


def _apply(request: pb.TrainModelRequest, name: str, value: Any) -> None:
    part, _, rest = name.partition(".")
    if part == "shape" and rest:
        request.shape[rest] = _number(name, value)
    elif part in _PARTS and rest:
        _set(getattr(request, part), rest, name, value)
    elif name == "tokenizer_kind":
        request.tokenizer_kind = _enum(pb.TokenizerKind, "TOKENIZER_KIND_", str(value), name)
    elif name == "vocabulary_size":
        _set(request, name, name, value)
    else:
        _set(request.parameters, name, name, value)


def _set(message: Message, field: str, name: str, value: Any) -> None:
    descriptor = message.DESCRIPTOR.fields_by_name.get(field)
    if descriptor is None or descriptor.message_type is not None:
        close = get_close_matches(name, setting_names(), n=1)
        raise _wrong(name, f"is no setting{f'; did you mean {close[0]}?' if close else ''}")
    if descriptor.is_repeated:
        items = value.split(",") if isinstance(value, str) else list(value)
        getattr(message, field)[:] = [item.strip() for item in items]
        return
    kind = descriptor.cpp_type
    if kind == FieldDescriptor.CPPTYPE_STRING:
        setattr(message, field, str(value))
    elif kind == FieldDescriptor.CPPTYPE_BOOL:
        setattr(message, field, _boolean(name, value))
    elif kind in _FLOATS:
        setattr(message, field, _number(name, value))
    else:
        number = _number(name, value)
        if number != int(number) or number < 0:
            raise _wrong(name, f"must be a whole number, not {value}")
        setattr(message, field, int(number))


def _number(name: str, value: Any) -> float:
    if isinstance(value, str) and value.lower() in ("true", "false"):
        value = value.lower() == "true"
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise _wrong(name, f"must be a number, not {value!r}") from None
    if not math.isfinite(number):
        raise _wrong(name, "must be finite")
    return number


def _boolean(name: str, value: Any) -> bool:
    text = str(value).lower()
    if text not in (*_TRUE, *_FALSE):
        raise _wrong(name, f"must be true or false, not {value!r}")
    return text in _TRUE


def _enum(enum: Any, prefix: str, text: str, name: str) -> Any:
    value = enum.DESCRIPTOR.values_by_name.get(prefix + text.upper().replace("-", "_"))
    if value is None or value.number == 0:
        known = [v.name.removeprefix(prefix).lower() for v in enum.DESCRIPTOR.values[1:]]
        raise _wrong(name, f"must be one of {', '.join(known)}")
    return value.number


def _wrong(name: str, description: str) -> InvalidFieldError:
    return InvalidFieldError(
        f"{name}: {description}",
        code="INVALID_ARGUMENT",
        violations=(FieldViolation(name, description, ""),),
    )
