"""llmos show: one model, or one of its versions."""

from typing import TYPE_CHECKING

import click

from llmos_client.cli.options import Command, Settings, model_argument, pass_settings

if TYPE_CHECKING:
    from llmos_client.results import ModelVersion


@click.command("show", cls=Command)
@model_argument()
@click.option("--layers", is_flag=True, help="List the weights, those of all layers as one line.")
@pass_settings
def command(settings: Settings, model: str, layers: bool) -> None:
    """Show a model and its versions.

    MODEL/versions/N or MODEL@ALIAS shows one version alone.
    """
    from llmos_client.cli.output import print_json

    if layers:
        _print_layers(settings, model)
        return
    exact = "@" in model or "/versions/" in model
    with settings.client() as client:
        if exact:
            version = client.get_version(model)
            if settings.json:
                print_json({"version": version})
            else:
                _print_version(version)
            return
        found = client.get_model(model)
        versions = client.list_versions(found.id)
    if settings.json:
        print_json({"model": found, "versions": versions})
        return
    for version in versions:
        aliases = ", ".join(sorted(a for a, to in found.aliases.items() if to == version.name))
        _print_version(version, aliases)
        print()


def _print_version(version: "ModelVersion", aliases: str = "") -> None:
    from llmos_client.cli.output import human_bytes, print_fields

    residency = version.residency
    created = version.create_time
    print_fields(
        [
            ("name", version.name),
            ("aliases", aliases),
            ("architecture", version.architecture),
            ("parameters", f"{version.parameter_count:,}"),
            ("context", f"{version.context_length:,} tokens"),
            ("vocabulary", f"{version.vocabulary_size:,} tokens"),
            ("dtype", version.dtype),
            ("size", human_bytes(version.byte_size)),
            ("chat", "yes" if version.chat else "no"),
            ("license", version.license or "not stated"),
            ("source", version.source),
            ("digest", version.digest),
            ("created", created.isoformat(timespec="seconds") if created else ""),
            ("state", str(residency.state)),
            ("pid", str(residency.pid) if residency.pid else ""),
            ("runner", residency.runner),
            ("in the process of", residency.host),
            ("notes", "; ".join(version.notes)),
            ("failure", residency.failure.message if residency.failure else ""),
        ]
    )


def _print_layers(settings: Settings, model: str) -> None:
    import math
    import re

    from llmos_client.cli.output import print_json, print_table

    with settings.client() as client:
        tensors = client.list_tensors(model)
    if settings.json:
        print_json({"tensors": tensors})
        return
    # Layers are alike: one line for what they all have.
    groups: dict[tuple[str, tuple[int, ...], str], int] = {}
    for tensor in tensors:
        name = re.sub(r"\.\d+\.", ".*.", tensor.name)
        key = (name, tensor.shape, tensor.dtype)
        groups[key] = groups.get(key, 0) + 1
    rows = [
        (
            name,
            str(count),
            " x ".join(map(str, shape)),
            dtype,
            f"{count * math.prod(shape):,}",
        )
        for (name, shape, dtype), count in groups.items()
    ]
    total = sum(math.prod(tensor.shape) for tensor in tensors)
    rows.append(("all", str(len(tensors)), "", "", f"{total:,}"))
    print_table(("WEIGHT", "COUNT", "SHAPE", "DTYPE", "PARAMETERS"), rows)
