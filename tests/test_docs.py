"""What is written for people is true: snippets run, commands parse, tables are complete."""

import os
import re
import shlex
import subprocess
import sys
from itertools import takewhile
from pathlib import Path

import click
import pytest

from daemon import DaemonProcess
from factory import tiny_llama_folder
from llmos_client.cli import problems
from llmos_client.cli.main import cli
from llmos_client.cli.options import Settings
from llmosd import __main__ as llmosd_main
from llmosd import errors
from llmosd.config import Config
from llmosd.rpc import status

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(path, kind):
    """Contents of the fenced blocks that are marked with `kind`, with the line each starts at."""
    text = path.read_text()
    for match in re.finditer(rf"^```{kind}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield text[: match.start()].count("\n") + 1, match[1]


SNIPPETS = [
    pytest.param(code, id=f"{path.name}:{line}")
    for path in PAGES
    for line, code in blocks(path, "python run")
]
COMMANDS = [
    pytest.param(line.removeprefix("$ ").removeprefix("# "), id=f"{path.name}:{number + at}")
    for path in PAGES
    for number, block in blocks(path, "console")
    for at, line in enumerate(block.splitlines(), 1)
    if line.startswith(("$ ", "# "))
]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    """A daemon with a tiny model under the name that the snippets use."""
    process = DaemonProcess(tmp_path_factory.mktemp("docs"))
    process.install(
        "smollm2", tiny_llama_folder(tmp_path_factory.mktemp("tiny"), max_position_embeddings=2048)
    )
    process.load("smollm2")
    yield process
    process.stop()


@pytest.mark.parametrize("code", SNIPPETS)
def test_snippet_runs(code, daemon):
    environment = {**os.environ, "LLMOS_ADDRESS": daemon.address}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_every_python_block_is_run():
    """None escapes for want of the mark."""
    marked = sum(len(list(blocks(path, "python run"))) for path in PAGES)
    assert marked == sum(path.read_text().count("```python") for path in PAGES) >= 4


@pytest.mark.parametrize("line", COMMANDS)
def test_command_is_there(line):
    """Every llmos, llmosd and make of a console block is one that its parser takes."""
    for part in re.split(r"\s(?:&&|\|)\s", line):
        words = shlex.split(part, comments=True)
        words = words[len(list(takewhile(lambda word: re.match(r"[A-Z_]+=", word), words))) :]
        check = PARSERS.get(Path(words[0]).name)
        if check is not None:
            check(words[1:])


def parse_llmos(words):
    group = cli.make_context("llmos", words, obj=Settings())
    while True:
        name, command, rest = group.command.resolve_command(
            group, [*group._protected_args, *group.args]
        )
        with command.make_context(name, rest, parent=group) as context:
            if name == "serve":
                parse_llmosd(context.params["arguments"])
        if not isinstance(command, click.Group):
            return
        group = context


def parse_llmosd(words):
    llmosd_main._parser().parse_args(list(words))


def parse_make(words):
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert words[0] in targets


PARSERS = {"llmos": parse_llmos, "llmosd": parse_llmosd, "make": parse_make}


def test_the_parsers_refuse():
    with pytest.raises(click.UsageError):
        parse_llmos(["run", "smollm2", "--temprature", "1"])
    with pytest.raises(click.UsageError):
        parse_llmos(["fly"])
    with pytest.raises(click.UsageError):
        parse_llmos(["dataset", "add", "x.jsonl", "--name", "a", "--kid", "text"])
    with pytest.raises(click.UsageError):
        parse_llmos(["dataset", "fly"])
    with pytest.raises(SystemExit):
        parse_llmosd(["--listn", "x"])


def table(path, first_header):
    """Rows of the table whose first header is `first_header`, without ` marks."""
    lines = iter(path.read_text().splitlines())
    next(line for line in lines if line.startswith(f"| {first_header} |"))
    next(lines)
    rows = takewhile(lambda line: line.startswith("|"), lines)
    return [[cell.strip().replace("`", "") for cell in row.strip("|").split("|")] for row in rows]


def test_errors_table():
    """Every reason with its status, and something to do."""
    rows = table(ROOT / "docs/api.md", "Reason")
    codes = {reason: status.CODES[cls].name for reason, cls in errors.by_reason().items()}
    assert {row[0]: row[1] for row in rows} == codes
    assert all(len(row[2]) > 10 for row in rows)


def test_settings_table():
    """Every setting with its default."""
    rows = {row[0]: row[1] for row in table(ROOT / "docs/operating.md", "Setting")}
    assert set(rows) == set(Config.__struct_fields__)
    defaults = Config()
    for name in Config.__struct_fields__:
        if name not in ("state_dir", "cache_dir", "listen"):  # these depend on the environment
            assert rows[name] == str(getattr(defaults, name)).lower(), name


@pytest.mark.parametrize(
    ("program", "codes"),
    [
        ("llmosd", {0, *(v for k, v in vars(llmosd_main).items() if k.startswith("EX_"))}),
        ("llmos", {0, 130} | {v for k, v in vars(problems).items() if k.startswith("EXIT_")}),
    ],
)
def test_exit_statuses(program, codes):
    rows = table(ROOT / "docs/operating.md", f"Exit status of `{program}`")
    assert {int(row[0]) for row in rows} == codes


@pytest.mark.parametrize("path", PAGES, ids=[path.name for path in PAGES])
def test_links_lead_somewhere(path):
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text())
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_tree_of_the_readme():
    """Every path in it is there; every package of the daemon is in it."""
    readme = (ROOT / "README.md").read_text()
    folder, found = ROOT, set()
    (tree,) = [block for _, block in blocks(ROOT / "README.md", "text")]
    for line in tree.splitlines():
        match = re.match(r"( *)([^\s,]+(?:, [^\s,]+)*)", line)
        names = match[2].split(", ")
        if not match[1]:
            folder = ROOT / names[0]
        places = [ROOT / names[0]] if not match[1] else [folder / name for name in names]
        for place in places:
            assert place.exists(), place
            found.add(place)
    packages = {path.parent for path in (ROOT / "server/llmosd").glob("*/__init__.py")}
    assert packages <= found
    assert readme.count("```") % 2 == 0


def test_corridor_of_the_readme():
    """Its files are there, and each function it names is in one of them."""
    rows = table(ROOT / "README.md", "Step")
    assert len(rows) == 20
    for _, files, text in rows:
        where = []
        for name in files.split(", "):
            where.append(
                ROOT / name if "/" in name and (ROOT / name).exists() else _beside(where, name)
            )
            assert where[-1].exists(), name
        source = "".join(path.read_text() for path in where)
        for function in re.findall(r"(\w+)\(\)", text):
            assert function in source, function
        mentioned = re.findall(r"\(?((?:\w+/)+\w+\.py)\)?", text)
        assert all((ROOT / "server/llmosd" / name).exists() for name in mentioned), mentioned


def _beside(where, name):
    """A file named after another one: in its folder, or in the daemon's."""
    near = where[-1].parent / name
    return near if near.exists() else ROOT / "server/llmosd" / name


def test_docs_name_no_private_path():
    for path in [*PAGES, *(ROOT / "docs/man").iterdir(), ROOT / "CHANGELOG.md"]:
        text = path.read_text()
        assert not {f"{place}/" for place in (ROOT, Path.home()) if f"{place}/" in text}, path


def test_limits_table():
    """The limits that the code can be asked for."""
    from llmosd.rpc import converse, limits, paging

    rows = {row[0]: row[1] for row in table(ROOT / "docs/api.md", "What")}
    assert rows["one request message"] == f"{limits.MAX_MESSAGE_BYTES >> 20} MiB"
    assert rows["calls at once on one connection; more wait in the client"] == str(
        limits.MAX_STREAMS
    )
    assert rows["page of a list"].startswith(f"{paging._DEFAULT_SIZE} by default, {paging._MOST:,}")
    kept = "generations running on one Converse stream; ended ones kept for append"
    assert rows[kept] == f"{converse._MOST_RUNNING}; {converse._MOST_KEPT}"


def test_changelog_has_the_version():
    version = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[
        1
    ]
    assert re.search(
        rf"^## \[?.*{re.escape(version)}", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE
    )
