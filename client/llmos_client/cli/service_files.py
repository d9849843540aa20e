"""The systemd service of this very installation: what goes where, and whether it can work there."""

import stat
import sys
from dataclasses import dataclass
from pathlib import Path

from llmos_client.errors import FeatureUnavailableError

# What the unit cannot see: ProtectHome=yes, PrivateTmp=yes.
_HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108 - not used, refused
_SHIPPED = "/opt/llmos"


@dataclass(frozen=True, slots=True)
class ServiceFile:
    """A file to write; `keep`: not where there is one already."""

    path: Path
    text: str
    keep: bool = False


def service_files(prefix: Path, units: Path) -> list[ServiceFile]:
    """The files of a service whose commands are in `prefix`/bin.

    Units go to /usr/local/lib: what an administrator puts into /etc/systemd/system, by
    `systemctl edit` too, wins over them and is never touched.
    """
    place = Path("/usr/local/lib/systemd/system")
    found = [
        ServiceFile(place / path.name, path.read_text().replace(_SHIPPED, str(prefix)))
        for path in sorted(
            path for kind in ("service", "socket", "timer") for path in units.glob(f"*.{kind}")
        )
    ]
    group = (units / "llmosd.sysusers").read_text()
    settings = (units / "llmosd.toml").read_text()
    return [
        *found,
        ServiceFile(Path("/usr/local/lib/sysusers.d/llmosd.conf"), group),
        ServiceFile(Path("/etc/llmos/llmosd.toml"), settings, keep=True),
    ]


def shipped_units() -> Path:
    """The folder of units that came with this installation.

    Raises:
        FeatureUnavailableError: there is none.
    """
    beside = Path(__file__).parents[3] / "systemd"  # a checkout
    for folder in (Path(sys.prefix) / "share/llmos/systemd", beside):
        if (folder / "llmosd.service").exists():
            return folder
    raise _unavailable(f"the units are not in {sys.prefix}/share/llmos/systemd")


def check_reachable(prefix: Path, python: Path) -> None:
    """Make sure that a service without homes, under a user of its own, can run what is there.

    Args:
        prefix: whose bin/ has llmosd.
        python: the interpreter; links are followed.

    Raises:
        FeatureUnavailableError: it cannot, and what to do instead.
    """
    if not (prefix / "bin/llmosd").exists():
        raise _unavailable(f"there is no llmosd in {prefix}/bin")
    for path in (prefix, python.resolve()):
        hidden = next((each for each in _HIDDEN if path.is_relative_to(each)), None)
        if hidden:
            raise _unavailable(f"a service does not see {path}: {hidden} is hidden from it")
        closed = next((each for each in (path, *path.parents) if not _open(each)), None)
        if closed is not None:
            raise _unavailable(f"the service's user may not enter {closed}")


def _open(path: Path) -> bool:
    return bool(path.stat().st_mode & stat.S_IXOTH)


def _unavailable(reason: str) -> FeatureUnavailableError:
    return FeatureUnavailableError(
        f"{reason}. Install llmos where a service can use it: "
        f"/usr/bin/python3 -m venv {_SHIPPED} && {_SHIPPED}/bin/pip install 'llmos[server]' && "
        f"{_SHIPPED}/bin/llmos install --systemd",
        code="FAILED_PRECONDITION",
    )
