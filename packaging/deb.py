"""`make deb`: dist/llmos_VERSION_ARCH.deb, with the daemon's whole environment under /opt/llmos.

    python packaging/deb.py WHEEL TORCH...

Debian's own Python runs it, because a service that sees no home directories cannot use another.
Nothing is downloaded when it is installed. TORCH are pip's arguments for torch.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

PYTHON = Path("/usr/bin/python3")
ROOT = Path("build/deb/root")
PREFIX = Path("opt/llmos")
HERE = Path(__file__).parent
SYSTEMD, MANUALS = HERE.parent / "systemd", HERE.parent / "docs" / "man"
CONTROL = """\
Package: llmos
Version: {version}
Architecture: {architecture}
Maintainer: llmos maintainers <maintainers@llmos.invalid>
Installed-Size: {size}
Depends: python3 (>= {python}), python3 (<< {next_python}), init-system-helpers, systemd (>= 250)
Section: net
Priority: optional
Description: operating system for language models on one machine
 A daemon that loads, trains, optimizes, evaluates and serves language models
 over gRPC, with a command line. Members of the group llmos may use it.
"""


def main() -> None:
    """Fill the root, and pack it."""
    if not PYTHON.exists() or not shutil.which("dpkg-deb"):
        sys.exit("make deb runs on Debian, with python3 and dpkg-deb")
    wheel, *torch = sys.argv[1:]
    shutil.rmtree(ROOT, ignore_errors=True)
    environment(wheel, torch)
    links()
    files()
    completions()
    print(pack(Path(wheel).name.split("-")[1]))


def environment(wheel: str, torch: list[str]) -> None:
    """A virtual environment that believes to be in /opt/llmos."""
    folder = ROOT / PREFIX
    run(PYTHON, "-m", "venv", "--without-pip", folder)
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", "--python"]
    run(*pip, folder / "bin/python", "install", "--no-compile", *torch)
    run(*pip, folder / "bin/python", "install", "--no-compile", f"{wheel}[server,certs]")
    here = str(folder.resolve())
    for path in [*(folder / "bin").iterdir(), folder / "pyvenv.cfg"]:
        if path.is_file() and not path.is_symlink() and here.encode() in path.read_bytes():
            path.write_text(path.read_text().replace(here, f"/{PREFIX}"))
    # Its files belong to root, so the daemon could not write bytecode beside them.
    packages = next((folder / "lib").glob("python3*/site-packages"))
    command = [PYTHON, "-m", "compileall", "-qq", "-j0", "-s", ROOT.resolve(), "-p", "/", packages]
    subprocess.run([*map(str, command)], check=False, stderr=subprocess.DEVNULL)


def links() -> None:
    """Commands where shells look for them."""
    for name, place in (("llmos", "usr/bin"), ("llmosd", "usr/sbin")):
        (ROOT / place).mkdir(parents=True, exist_ok=True)
        (ROOT / place / name).symlink_to(f"/{PREFIX}/bin/{name}")


def files() -> None:
    """Units, settings, manual pages."""
    units = ROOT / "usr/lib/systemd/system"
    for path in (*SYSTEMD.glob("*.service"), *SYSTEMD.glob("*.timer"), *SYSTEMD.glob("*.socket")):
        put(path, units / path.name)
    put(SYSTEMD / "llmosd.sysusers", ROOT / "usr/lib/sysusers.d/llmosd.conf")
    put(SYSTEMD / "llmosd.toml", ROOT / "etc/llmos/llmosd.toml")
    for path in SYSTEMD.glob("llmosd-*.conf"):
        put(path, ROOT / "usr/share/doc/llmos/examples" / path.name)
    put(HERE.parent / "LICENSE", ROOT / "usr/share/doc/llmos/copyright")
    put(HERE.parent / "CHANGELOG.md", ROOT / "usr/share/doc/llmos/CHANGELOG.md")
    for path in MANUALS.iterdir():
        put(path, ROOT / f"usr/share/man/man{path.suffix[1:]}" / path.name)
        run("gzip", "-9nf", ROOT / f"usr/share/man/man{path.suffix[1:]}" / path.name)


def completions() -> None:
    """Bash's and zsh's."""
    code = "from llmos_client.cli.main import main; main()"
    for shell, place in (
        ("bash", "bash-completion/completions/llmos"),
        ("zsh", "zsh/vendor-completions/_llmos"),
    ):
        said = subprocess.run(
            [str(ROOT / PREFIX / "bin/python"), "-c", code],
            env={"_LLMOS_COMPLETE": f"{shell}_source", "PATH": "/usr/bin:/bin"},
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        target = ROOT / "usr/share" / place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(said.stdout)


def pack(version: str) -> Path:
    """The package."""
    control = ROOT / "DEBIAN"
    control.mkdir()
    for name in ("postinst", "prerm", "postrm"):
        put(HERE / "debian" / name, control / name, 0o755)
    (control / "conffiles").write_text("/etc/llmos/llmosd.toml\n")
    architecture = output("dpkg", "--print-architecture")
    major, minor = re.match(r"Python (\d+)\.(\d+)", output(PYTHON, "--version")).groups()  # type: ignore[union-attr]
    text = CONTROL.format(
        version=version, architecture=architecture, size=output("du", "-sk", ROOT).split()[0],
        python=f"{major}.{minor}", next_python=f"{major}.{int(minor) + 1}",
    )  # fmt: skip
    (control / "control").write_text(text)
    target = Path("dist") / f"llmos_{version}_{architecture}.deb"
    target.parent.mkdir(exist_ok=True)
    run("dpkg-deb", "--root-owner-group", "-Zzstd", "-z3", "--build", ROOT, target)
    return target


def put(source: Path, target: Path, mode: int = 0o644) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(mode)


def run(*command: object) -> None:
    subprocess.run([*map(str, command)], check=True, stdout=subprocess.DEVNULL)


def output(*command: object) -> str:
    return subprocess.run(
        [*map(str, command)], check=True, capture_output=True, text=True
    ).stdout.strip()


if __name__ == "__main__":
    main()
