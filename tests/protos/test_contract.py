"""The committed stubs, the error table, and the rules that every message must keep."""

import importlib.util
from pathlib import Path

import protovalidate
import pytest
from google.protobuf import message_factory

from llmos.v1 import (
    admin_service_pb2,
    dataset_service_pb2,
    error_reason_pb2,
    generation_service_pb2,
    latent_service_pb2,
    model_service_pb2,
    operation_service_pb2,
    scoring_service_pb2,
    tokenization_service_pb2,
)
from llmosd import errors
from llmosd.rpc import status

PROTOS = Path(__file__).parents[2] / "protos"
MODULES = [
    admin_service_pb2, dataset_service_pb2, generation_service_pb2, latent_service_pb2,
    model_service_pb2, operation_service_pb2, scoring_service_pb2, tokenization_service_pb2,
]  # fmt: skip


def test_stubs_are_fresh(tmp_path):
    """Generating again gives the committed files, byte for byte, and no other."""
    spec = importlib.util.spec_from_file_location("generate", PROTOS / "generate.py")
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    generate.generate(tmp_path)
    fresh = {p.relative_to(tmp_path): p.read_bytes() for p in tmp_path.rglob("*_pb2*")}
    committed = {
        p.relative_to(PROTOS): p.read_bytes()
        for p in PROTOS.rglob("*_pb2*.py*")
        if "__pycache__" not in p.parts
    }
    assert fresh == committed


def test_every_reason_has_an_error_and_a_status():
    """The enum, the exception tree and the status table say the same."""
    names = {
        value.name.removeprefix("ERROR_REASON_")
        for value in error_reason_pb2.ErrorReason.DESCRIPTOR.values
    } - {"UNSPECIFIED"}
    assert set(errors.by_reason()) == names
    assert set(status.CODES) == set(errors.by_reason().values())
    for name in names:
        assert name in errors.__doc__ or errors.by_reason()[name].__name__ in errors.__doc__


def requests():
    for module in MODULES:
        for service in module.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                yield method.input_type


@pytest.mark.parametrize(
    "descriptor", sorted(set(requests()), key=lambda d: d.name), ids=lambda d: d.name
)
def test_rules_compile(descriptor):
    """The rules of every request can be evaluated; a typo in one would raise here."""
    protovalidate.collect_violations(message_factory.GetMessageClass(descriptor)())


def test_sampling_scalars_are_optional():
    """What is not set can be told from zero."""
    from llmos.v1 import sampling_pb2

    for name in ("SamplingParameters", "StoppingParameters", "OutputParameters"):
        for field in sampling_pb2.DESCRIPTOR.message_types_by_name[name].fields:
            repeated = field.is_repeated if hasattr(field, "is_repeated") else field.label == 3
            assert repeated or field.has_presence, field.full_name
