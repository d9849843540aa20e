"""Versions to export, and the export job without a process."""

import pytest

from factory import Silent, files_of
from llmosd.jobs.exporting.export import export_model
from llmosd.jobs.importing.convert import import_model
from llmosd.jobs.messages import ExportSpec, ImportSpec


@pytest.fixture
def export(tmp_path):
    """export(version folder, format, **fields of ExportSpec) -> folder of what was written."""
    made = []

    def run(folder, form, **more):
        made.append(tmp_path / f"export{len(made)}")
        made[-1].mkdir()
        spec = {"folder": str(folder), "name": "m", "format": form, "output": str(made[-1])}
        export_model(ExportSpec(**(spec | more)), Silent())
        return made[-1]

    return run


@pytest.fixture
def again(tmp_path):
    """again(exported folder, format) -> folder of the version that it is imported as."""
    made = []

    def run(folder, form):
        made.append(tmp_path / f"again{len(made)}")
        made[-1].mkdir()
        spec = ImportSpec(files=files_of(folder), format=form, output=str(made[-1]))
        import_model(spec, Silent())
        return made[-1]

    return run
