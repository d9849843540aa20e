"""Named places to call: contexts.toml in $XDG_CONFIG_HOME/llmos, mode 0600, for one's own eyes.

    current = "prod"

    [contexts.prod]
    address = "tls:llm.example:8470"
    token_file = "/home/me/.llmos-token"
    tls_ca = "/home/me/ca.pem"

What a context says holds where neither a flag nor the environment says anything else.
"""

import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from llmos_client.errors import InvalidContextError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Context:
    """Where to call, and who one is there; "" for what it does not say."""

    address: str = ""
    tenant: str = ""
    token_file: str = ""
    tls_ca: str = ""
    tls_cert: str = ""
    tls_key: str = ""

    def token(self, name: str) -> str | None:
        """The token in its file; raises InvalidContextError, naming the context."""
        if not self.token_file:
            return None
        try:
            return Path(self.token_file).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "is no text"
            raise InvalidContextError(
                f'context "{name}": token_file: {self.token_file}: {reason}'
            ) from None


@dataclass(frozen=True, slots=True)
class Contexts:
    """All of a person's; `current` is the one in use, "" for none."""

    current: str = ""
    contexts: Mapping[str, Context] = field(default_factory=dict)

    def get(self, name: str) -> Context:
        """One of them; raises InvalidContextError, with those that there are."""
        if name not in self.contexts:
            known = ", ".join(self.contexts) or "none"
            raise InvalidContextError(f'there is no context "{name}"; there are: {known}')
        return self.contexts[name]


def location(environ: Mapping[str, str] = os.environ) -> Path:
    """Where they are kept."""
    folder = environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(folder, "llmos", "contexts.toml")


def load(path: Path) -> Contexts:
    """Read them; none where there is no file. Raises InvalidContextError."""
    try:
        data = tomllib.loads(path.read_text())
    except FileNotFoundError:
        return Contexts()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidContextError(f"{path}: {error}") from None
    known = {each.name for each in fields(Context)}
    found: dict[str, Context] = {}
    for name, values in data.get("contexts", {}).items():
        wrong = [key for key in values if key not in known or not isinstance(values[key], str)]
        if wrong:
            raise InvalidContextError(
                f'{path}: context "{name}": {wrong[0]}: must be one of {", ".join(sorted(known))}, '
                "and a text"
            )
        found[name] = Context(**values)
    current = data.get("current", "")
    if current and current not in found:
        raise InvalidContextError(
            f'{path}: current: there is no context "{current}"; llmos context use another'
        )
    return Contexts(current, found)


def save(path: Path, contexts: Contexts) -> None:
    """Write them, for nobody else to read; the old ones or the new ones are there, whole."""
    lines = [f"current = {json.dumps(contexts.current)}"] if contexts.current else []
    for name, context in contexts.contexts.items():
        lines += ["", f"[contexts.{json.dumps(name)}]"]
        for each in fields(Context):
            value = getattr(context, each.name)
            if value:
                # JSON's texts are TOML's, too.
                lines.append(f"{each.name} = {json.dumps(value, ensure_ascii=False)}")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write("\n".join(lines).lstrip() + "\n")
    partial.rename(path)
