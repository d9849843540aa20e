"""`python -m benchmarks`: measure, print, write build/bench.json."""

import argparse
import sys
from contextlib import ExitStack

from rich.console import Console

from benchmarks.alone import Figures, engine_environment, measure_alone
from benchmarks.cases import FULL, QUICK, Plan
from benchmarks.environments import python_of
from benchmarks.pairs import measure
from benchmarks.peers import PEERS
from benchmarks.process import ROOT, PeerFailed, PeerProcess
from benchmarks.table import Pair, machine, print_figures, print_pair, write_json
from llmos_client.fetch.cache import cache_folder
from llmos_client.fetch.catalogue import load_catalogue

DEFAULT = ("engine-int8", "llama.cpp-q8_0", "vllm-bf16", "vllm-fp32", "transformers-bf16")


def main() -> int:
    """Run llmos against every peer that is there; 1 when llmos itself failed."""
    arguments = _parser().parse_args()
    console = Console()
    load = machine()["load"]
    if load > 0.5:
        console.print(f"The machine is busy (load {load:.1f}): trust ratios, not figures.")
    bench = _Bench(console, QUICK if arguments.quick else FULL, f"llmos-{arguments.dtype}")
    try:
        if not arguments.no_alone:
            bench.figures = measure_alone(arguments.dtype, bench.say, cold=arguments.cold)
        bench.run(arguments.peers)
    except PeerFailed as error:
        console.print(f"llmos failed: {error}")
        return 1
    for pair in bench.pairs:
        print_pair(console, pair)
    print_figures(console, bench.figures)
    for name, reason in bench.missing.items():
        console.print(f"{name}: not measured: {reason}", markup=False)
    path = ROOT / "build" / "bench.json"
    write_json(path, bench.pairs, bench.missing, bench.figures, quick=arguments.quick)
    console.print(f"Everything is in {path.relative_to(ROOT)}.")
    return 0


class _Bench:
    """One run: llmos stays loaded, peers come and go."""

    def __init__(self, console: Console, plan: Plan, own: str) -> None:
        self.pairs: list[Pair] = []
        self.missing: dict[str, str] = {}
        self.figures: Figures = {}
        self._console = console
        self._plan = plan
        self._own = own

    def run(self, names: list[str]) -> None:
        with PeerProcess(self._own) as llmos:
            reason = llmos.unavailable()
            if reason:
                raise PeerFailed(reason)
            self.say(f"{self._own}: loading")
            about = llmos.load("")
            for name in names:
                try:
                    self._against(llmos, about, name)
                except PeerFailed as error:
                    self.missing[name] = str(error)
            if not self.pairs:
                (samples,) = measure([llmos], self._plan, self.say)
                self.pairs.append(Pair(about, samples))

    def _against(self, llmos: PeerProcess, about: str, name: str) -> None:
        with ExitStack() as stack:
            peer = self._find(name, stack)
            self.say(f"{name}: loading")
            about_peer = peer.load(_gguf())
            say, turn = lambda at: self.say(f"{name}: {at}"), len(self.pairs) + len(self.missing)
            own, other = measure([llmos, peer], self._plan, say, turn)
            self.pairs.append(Pair(about, own, name, about_peer, other))

    def _find(self, name: str, stack: ExitStack) -> PeerProcess:
        """The peer, in the environment that has it."""
        self.say(f"{name}: environment")
        more = engine_environment() if name.startswith("engine-") else {}
        peer = stack.enter_context(PeerProcess(name, python_of(name), more))
        reason = peer.unavailable()
        if reason:
            raise PeerFailed(reason)
        return peer

    def say(self, text: str) -> None:
        """One dim line."""
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
        default=DEFAULT,
        help=f"of {', '.join(PEERS)}; default: {', '.join(DEFAULT)}; none with an empty value",
    )
    parser.add_argument("--no-alone", action="store_true", help="only beside peers")
    parser.add_argument("--cold", action="store_true", help="also load with nothing compiled")
    parser.add_argument("--dtype", choices=["int8", "int4", "float32"], default="int8")
    return parser


def _names(text: str) -> list[str]:
    names = [name for name in text.split(",") if name]
    unknown = [name for name in names if name not in PEERS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]} is none of {', '.join(PEERS)}")
    return names


if __name__ == "__main__":
    sys.exit(main())
