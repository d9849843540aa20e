"""One line for a monitoring system: Nagios' plugin interface, which Icinga and others speak.

Status, what is the matter, and figures with their thresholds after `|`; exit status 0 OK,
1 WARNING, 2 CRITICAL, 3 UNKNOWN. https://www.monitoring-plugins.org/doc/guidelines.html
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llmos_client.errors import DaemonUnreachable, LlmosError

if TYPE_CHECKING:
    from llmos_client.client import Client

OK, WARNING, CRITICAL, UNKNOWN = range(4)
_WORDS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Requests that wait, over all models, at least so many; free memory in percent, at most."""

    warn_queue: int
    crit_queue: int
    warn_memory: float
    crit_memory: float


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with its unit and, as the plugin interface writes them, its thresholds."""

    name: str
    value: float
    unit: str = ""
    warn: str = ""
    crit: str = ""

    def __str__(self) -> str:
        # Digits only: an exponent is none of the interface's numbers.
        number = f"{self.value:.1f}".removesuffix(".0")
        return f"{self.name}={number}{self.unit};{self.warn};{self.crit};0"


@dataclass(frozen=True, slots=True)
class Verdict:
    """How the daemon is; `code` is the exit status."""

    code: int
    message: str
    figures: tuple[Figure, ...] = ()

    def line(self) -> str:
        """Write it as a plugin does."""
        figures = f" | {' '.join(map(str, self.figures))}" if self.figures else ""
        return f"LLMOS {_WORDS[self.code]} - {self.message}{figures}"

    def plain(self) -> dict[str, Any]:
        """Write it for JSON."""
        figures = {each.name: each.value for each in self.figures}
        status = _WORDS[self.code]
        return {"status": status, "code": self.code, "message": self.message, "figures": figures}


def judge(client: "Client", thresholds: Thresholds) -> Verdict:
    """Look at the daemon and say how it is; raises nothing that a daemon or its absence causes."""
    try:
        return _judge(client, thresholds)
    except DaemonUnreachable as error:
        return Verdict(CRITICAL, _one_line(f"no daemon answers: {error.message}"))
    except LlmosError as error:
        return Verdict(UNKNOWN, _one_line(f"{error.message} ({error.label})"))


def _judge(client: "Client", limits: Thresholds) -> Verdict:
    from llmos_client.results import ResidencyState

    info = client.server_info()
    health = str(client.health())
    homes = {each.name: each.residency for each in client.list_versions()}
    waiting = sum(home.waiting for home in homes.values())
    failed = [name for name, home in homes.items() if home.state is ResidencyState.FAILED]
    restarting = [n for n, home in homes.items() if home.state is ResidencyState.RESTARTING]
    free = 100 * info.memory_available_bytes / max(info.memory_total_bytes, 1)
    found: list[tuple[int, str]] = []
    if health != "serving":
        found.append((CRITICAL, f"health is {health}"))
    found += [(CRITICAL, f"{name.removeprefix('models/')} failed") for name in failed]
    found += [(WARNING, f"{name.removeprefix('models/')} restarts") for name in restarting]
    queue = f"{waiting} requests wait"
    found.append((_level(waiting, limits.warn_queue, limits.crit_queue), queue))
    memory = f"{free:.0f}% of memory free"
    found.append((_level(-free, -limits.warn_memory, -limits.crit_memory), memory))
    code = max(level for level, _ in found)
    wrong = [text for level, text in found if level]
    loaded = f"{info.models_loaded} models loaded, {queue}, {memory}"
    free_limits = (f"{limits.warn_memory:g}:", f"{limits.crit_memory:g}:")  # below alerts
    figures = (
        Figure("queue", waiting, "", str(limits.warn_queue), str(limits.crit_queue)),
        Figure("generations", info.generations),
        Figure("models", info.models_loaded),
        Figure("failed", len(failed)),
        Figure("memory_free", round(free, 1), "%", *free_limits),
        Figure("resident", info.resident_bytes, "B"),
        Figure("uptime", round(info.uptime), "s"),
    )  # fmt: skip
    return Verdict(code, ", ".join(wrong) or loaded, figures)


def _level(value: float, warn: float, crit: float) -> int:
    if value >= crit:
        return CRITICAL
    return WARNING if value >= warn else OK


def _one_line(text: str) -> str:
    """Write it without what begins figures, or another line."""
    return " ".join(text.replace("|", "/").split())
