"""llmos show: one model, or one of its versions."""

from typing import TYPE_CHECKING

import click

from llmos_client.cli.options import Command, Settings, model_argument, pass_settings

if TYPE_CHECKING:
    from llmos_client.results import ModelVersion


@click.command("show", cls=Command)
@model_argument()
@pass_settings
def command(settings: Settings, model: str) -> None:
    """Show a model and its versions.

    MODEL/versions/N or MODEL@ALIAS shows one version alone.
    """
    from llmos_client.cli.output import print_json

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
            ("failure", residency.failure.message if residency.failure else ""),
        ]
    )
