"""`python -m benchmarks`: measure, print, write build/bench.json."""

import argparse
import os
import sys
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from benchmarks.cases import FULL, QUICK, Plan
from benchmarks.pairs import measure
from benchmarks.peers import PEERS
from benchmarks.process import ROOT, PeerFailed, PeerProcess
from benchmarks.table import Pair, machine, print_pair, write_json
from llmos_client.fetch.cache import cache_folder
from llmos_client.fetch.catalogue import load_catalogue

OTHERS = [name for name in PEERS if name != "llmos"]


def main() -> int:
    """Run llmos against every peer that is there; 1 when llmos itself failed."""
    arguments = _parser().parse_args()
    console = Console()
    load = machine()["load"]
    if load > 0.5:
        console.print(f"The machine is busy (load {load:.1f}): trust ratios, not figures.")
    bench = _Bench(console, QUICK if arguments.quick else FULL)
    try:
        bench.run(arguments.peers)
    except PeerFailed as error:
        console.print(f"llmos failed: {error}")
        return 1
    for pair in bench.pairs:
        print_pair(console, pair)
    for name, reason in bench.missing.items():
        console.print(f"{name}: not measured: {reason}", markup=False)
    path = ROOT / "build" / "bench.json"
    write_json(path, bench.pairs, bench.missing, quick=arguments.quick)
    console.print(f"Everything is in {path.relative_to(ROOT)}.")
    return 0


class _Bench:
    """One run: llmos stays loaded, peers come and go."""

    def __init__(self, console: Console, plan: Plan) -> None:
        self.pairs: list[Pair] = []
        self.missing: dict[str, str] = {}
        self._console = console
        self._plan = plan

    def run(self, names: list[str]) -> None:
        with PeerProcess("llmos") as llmos:
            reason = llmos.unavailable()
            if reason:
                raise PeerFailed(reason)
            self._say("llmos: loading")
            about = llmos.load("")
            for name in names:
                try:
                    self._against(llmos, about, name)
                except PeerFailed as error:
                    self.missing[name] = str(error)
            if not self.pairs:
                (samples,) = measure([llmos], self._plan, self._say)
                self.pairs.append(Pair(about, samples))

    def _against(self, llmos: PeerProcess, about: str, name: str) -> None:
        with ExitStack() as stack:
            peer = self._find(name, stack)
            self._say(f"{name}: loading")
            about_peer = peer.load(_gguf())
            own, other = measure([llmos, peer], self._plan, lambda at: self._say(f"{name}: {at}"))
            self.pairs.append(Pair(about, own, name, about_peer, other))

    def _find(self, name: str, stack: ExitStack) -> PeerProcess:
        """The peer in this environment, or in that of LLMOS_BENCH_PEERS."""
        elsewhere = os.environ.get("LLMOS_BENCH_PEERS")
        pythons = [sys.executable]
        pythons += [str(Path(elsewhere, "bin", "python").absolute())] if elsewhere else []
        reason = ""
        for python in pythons:
            try:
                peer = stack.enter_context(PeerProcess(name, python))
            except OSError as error:
                raise PeerFailed(f"LLMOS_BENCH_PEERS: {error}") from None
            reason = peer.unavailable()
            if not reason:
                return peer
        raise PeerFailed(f"{reason}; here, or into an environment that LLMOS_BENCH_PEERS names")

    def _say(self, text: str) -> None:
        self._console.print(text, style="dim", highlight=False)


def _gguf() -> str:
    """The file that llmos pulled."""
    return str(cache_folder() / load_catalogue()["smollm2"].member_sha256)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer tokens and rounds: a look")
    parser.add_argument(
        "--peers",
        metavar="NAME,...",
        type=_names,
        default=OTHERS,
        help=f"of {', '.join(OTHERS)}; all by default, none with an empty value",
    )
    return parser


def _names(text: str) -> list[str]:
    names = [name for name in text.split(",") if name]
    unknown = [name for name in names if name not in OTHERS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]} is none of {', '.join(OTHERS)}")
    return names


if __name__ == "__main__":
    sys.exit(main())
