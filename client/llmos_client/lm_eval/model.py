"""What lm-evaluation-harness asks of a model, answered by a daemon.

Texts are cut into tokens, windows and truncated contexts as the harness's `hf` backend does it
(lm_eval/models/huggingface.py), so that accuracies are those it finds. The daemon itself never cuts
anything off: what does not fit is shortened here, from the left, before it is sent.
"""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import groupby
from typing import Any, NamedTuple, TypeVar

from lm_eval import utils
from lm_eval.api.model import TemplateLM
from lm_eval.api.registry import register_model
from tqdm import tqdm

from llmos_client.client import Client
from llmos_client.errors import QueueFullError
from llmos_client.lm_eval.generating import options_of

_log = logging.getLogger(__name__)
_KEPT_TEXTS = 4096
# Of one call, so that those at once do not fill the daemon's queue.
_MOST_CHOICES = 16

T = TypeVar("T")
R = TypeVar("R")


class _Pair(NamedTuple):
    """A request's place, and its tokens, shortened."""

    place: int
    context: tuple[int, ...]
    choice: tuple[int, ...]


@register_model("llmos")
class LlmosLM(TemplateLM):  # type: ignore[misc]
    """A version of a model, loaded where it is not.

    Args:
        model: its name, as everywhere; a bare name is the live version now.
        address: of the daemon; else LLMOS_ADDRESS, else the usual sockets.
        tenant: for whom the calls are made.
        concurrency: calls that are with the daemon at once.
        max_length: tokens of a context, at most the model's.
        max_gen_toks: of an answer, where a task says nothing.
        add_bos_token: whether texts begin with the beginning-of-sequence token; None: as the model
            wants it.
        ignored: what the harness tells every model (batch_size, device); the daemon decides.
    """

    backend = "causal"

    def __init__(
        self,
        model: str,
        address: str | None = None,
        tenant: str = "",
        concurrency: int | str = 8,
        max_length: int | str | None = None,
        max_gen_toks: int | str = 256,
        add_bos_token: bool | None = None,
        **ignored: Any,
    ) -> None:
        super().__init__()
        for name in ignored.keys() - {"batch_size", "max_batch_size", "device"}:
            raise TypeError(f"{name} is no argument of the model llmos: see LlmosLM")
        self._client = Client(address, tenant=tenant)
        self._client.load_model(model).result()
        version = self._client.get_version(model)
        self._model = version.name
        self.max_length = min(int(max_length or version.context_length), version.context_length)
        self._max_gen_toks = int(max_gen_toks)
        self._add_bos_token = add_bos_token
        self._concurrency = int(concurrency)
        prefixed = self._client.score(self._model, tokens=[0], prefix=True)
        self._prefix = prefixed.tokens[0]
        # Tasks repeat their contexts for each choice, and their few-shot examples for each row.
        self._encode = lru_cache(_KEPT_TEXTS)(self._tokenize)

    @property
    def eot_token_id(self) -> int:
        """The prefix token: answers end by themselves."""
        return self._prefix.id

    @property
    def prefix_token_id(self) -> int:
        """What stands for "nothing before"."""
        return self._prefix.id

    @property
    def tokenizer_name(self) -> str:
        """The version, by which the harness caches what it rendered."""
        return self._model.replace("/", "__")

    def chat_template(self, chat_template: bool | str = False) -> str:
        """What to record of the template: the daemon's is a part of the version."""
        return self._model if chat_template else ""

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, **_more: Any
    ) -> list[int]:
        """Token ids of a text; control tokens in it are read as such."""
        if add_special_tokens is None:
            begun = bool(self._prefix.bytes) and string.encode().startswith(self._prefix.bytes)
            add_special_tokens = not begun and self._add_bos_token is not False
        return list(self._encode(string, add_special=add_special_tokens))

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """A conversation through the version's template; or up to within its last message."""
        last = None if add_generation_prompt else chat_history[-1]
        history = chat_history if last is None else chat_history[:-1]
        text = self._client.render_chat(self._model, history).text
        return text if last is None else text + last["content"]

    def loglikelihood_rolling(
        self, requests: Sequence[Any], disable_tqdm: bool = False
    ) -> list[float]:
        """Log-likelihoods of whole texts, in windows that do not overlap."""
        windows: list[tuple[None, list[int], list[int]]] = []
        ends: list[int] = []
        for (text,) in (request.args for request in requests):
            rolling = utils.get_rolling_token_windows(
                token_list=self.tok_encode(text),
                prefix_token=self.prefix_token_id,
                max_seq_len=self.max_length,
                context_len=1,
            )
            windows += [(None, *utils.make_disjoint_window(each)) for each in rolling]
            ends.append(len(windows))
        found = self._loglikelihood_tokens(windows, disable_tqdm=disable_tqdm)
        sums = [
            sum(logprob for logprob, _ in found[begin:end])
            for begin, end in zip([0, *ends], ends, strict=False)
        ]
        for request, total in zip(requests, sums, strict=True):
            self.cache_hook.add_partial("loglikelihood_rolling", request.args, total)
        return sums

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """Answers, each up to one of the texts that its task names."""

        def answer(request: Any) -> str:
            context, given = request.args
            options = options_of(given, self._max_gen_toks)
            room = self.max_length - options["max_tokens"]
            if room < 1:
                raise ValueError(
                    f"max_gen_toks is {options['max_tokens']}; the context holds {self.max_length}"
                )
            ids = self.tok_encode(context)
            if len(ids) > room:
                _log.warning("a context of %d tokens was cut to its last %d", len(ids), room)
            text = self._client.generate(self._model, tokens=ids[-room:], **options).text
            self.cache_hook.add_partial("generate_until", request.args, text)
            return text

        return self._each(answer, requests, "generate_until", disable_tqdm=disable_tqdm)

    def _loglikelihood_tokens(
        self,
        requests: Sequence[tuple[tuple[str, str] | None, list[int], list[int]]],
        disable_tqdm: bool = False,
        **_more: Any,
    ) -> list[tuple[float, bool]]:
        """(log-likelihood, greedy) of each; choices of one context are one call."""
        pairs = [self._shortened(at, *tokens) for at, (_, *tokens) in enumerate(requests)]
        calls = [
            list(group)[at : at + _MOST_CHOICES]
            for _, members in groupby(pairs, key=lambda pair: pair.context)
            for group in [list(members)]
            for at in range(0, len(group), _MOST_CHOICES)
        ]
        found: list[tuple[float, bool]] = [(0.0, False)] * len(requests)

        def score(call: list[_Pair]) -> None:
            scores = self._client.score_choices(
                self._model, call[0].context, [pair.choice for pair in call]
            )
            for pair, own in zip(call, scores.choices, strict=True):
                found[pair.place] = own.logprob, own.greedy
                text = requests[pair.place][0]
                if text is not None:
                    self.cache_hook.add_partial("loglikelihood", text, found[pair.place])

        self._each(score, calls, "loglikelihood", disable_tqdm=disable_tqdm)
        return found

    def _shortened(self, place: int, context: list[int], choice: list[int]) -> _Pair:
        """The last tokens that fit: the choice's last one is only scored."""
        if not choice or len(choice) > self.max_length:
            raise ValueError(
                f"a continuation has {len(choice)} tokens; it must have one, and at most "
                f"{self.max_length}"
            )
        room = self.max_length + 1 - len(choice)
        return _Pair(place, tuple(context[-room:]), tuple(choice))

    def _tokenize(self, text: str, *, add_special: bool) -> tuple[int, ...]:
        tokens = self._client.tokenize(
            self._model, text, add_special=add_special, parse_special=True
        )
        return tuple(token.id for token in tokens)

    def _each(
        self, work: Callable[[T], R], items: Iterable[T], name: str, *, disable_tqdm: bool
    ) -> list[R]:
        """Results in order; the first error ends the run."""
        items = list(items)
        with ThreadPoolExecutor(self._concurrency) as threads:
            running = [threads.submit(_patiently, work, item) for item in items]
            try:
                return [each.result() for each in tqdm(running, desc=name, disable=disable_tqdm)]
            finally:
                for each in running:
                    each.cancel()


def _patiently(work: Callable[[T], R], item: T) -> R:
    """Try again where the daemon's queue is full of others' requests."""
    while True:
        try:
            return work(item)
        except QueueFullError as error:
            time.sleep(error.retry_after or 1.0)
