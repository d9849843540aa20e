"""The content policy around one generation: its prompt before, its answers on their way out."""

import contextlib
import json
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from llmosd.config import Config
from llmosd.config_checks import ConfigError, ConfigFault
from llmosd.errors import ContentRefused, InvalidField
from llmosd.policies import rules
from llmosd.policies.policy import Asker, Policy, Writer
from llmosd.text.vocabulary import Vocabulary

GROUP = "llmosd.policies"


class Guard:
    """A policy, and for whom it decides; without a policy everything passes."""

    def __init__(self, policy: Policy | None, asker: Asker) -> None:
        self._policy = policy
        self._asker = asker

    def read(self, request: Any, vocabulary: Vocabulary) -> Any:
        """The request as the model gets to see it: the same, or a copy with other texts.

        Raises:
            ContentRefused: it is not to be asked.
            InvalidField: tokens that would have to be redacted, or are asked for.
        """
        if self._policy is None:
            return request
        looked_at = self.writer() is not None
        for field in ("tokens", "logprobs"):
            if looked_at and request.output.HasField(field):
                raise InvalidField.of(
                    f"output.{field}",
                    "would show what the content policy takes out: this daemon gives text alone",
                )
        kind = request.WhichOneof("input")
        if kind == "tokens":
            spelled = b"".join(vocabulary.token_bytes(each) for each in request.tokens.ids)
            text = spelled.decode(errors="replace")
            if self._policy.read(text, self._asker) != text:
                raise InvalidField.of(
                    "tokens", "the content policy would change them; send the prompt as text"
                )
            return request
        changed = type(request)()
        changed.CopyFrom(request)
        if kind == "text":
            changed.text.text = self._policy.read(request.text.text, self._asker)
        for message in changed.chat.messages if kind == "chat" else ():
            message.content = self._policy.read(message.content, self._asker)
        return changed

    def writer(self) -> Writer | None:
        """A new answer's."""
        return None if self._policy is None else self._policy.writer(self._asker)

    def arguments(self, text: str) -> str:
        """The arguments of a call of a function, which stay JSON; raises ContentRefused."""
        writer = self.writer()
        if writer is None:
            return text
        said = writer.add(text) + writer.flush()
        with contextlib.suppress(ValueError):
            json.loads(said)
            return said
        raise ContentRefused("a call of a function is refused by this daemon's content policy")


UNGUARDED = Guard(None, Asker("", ""))


def load_policy(config: Config) -> Policy | None:
    """The policy that the settings name; None: everything passes.

    Raises:
        ConfigError: there is none of that name, or its file is wrong.
    """
    if not config.content_policy:
        return None
    file = Path(config.content_policy_file) if config.content_policy_file else None
    if config.content_policy == "rules":
        return rules.load(file)
    found = entry_points(group=GROUP, name=config.content_policy)
    if not found:
        known = ", ".join(["rules", *(each.name for each in entry_points(group=GROUP))])
        text = f"{config.content_policy!r} is not one of {known}"
        raise ConfigError(ConfigFault("", "content_policy", text))
    policy: Policy = next(iter(found)).load()(file)
    return policy
