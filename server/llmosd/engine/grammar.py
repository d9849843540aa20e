"""Answers held to a form, by llguidance: grammars become matchers, matchers make token masks.

Compiling takes up to a second and runs on a thread of its own, so that nobody's stream waits for a
stranger's schema. A mask is made beside the step that computes the logits it will be applied to.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from llmosd.errors import FeatureUnavailable, InternalError, InvalidField, LlmosError
from llmosd.ipc.messages import Constraint, Submit
from llmosd.store.files import read_regular
from llmosd.store.manifest import GENERATION, TOKENIZER, GenerationDefaults

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer
    from llguidance._lib import JsonCompileOptions

_LARGEST = 64 * 1024 * 1024
_LONGEST_ERROR = 300
# One line, as the models have seen it: free white space lets a small model write nothing else.
_JSON_FORM: "JsonCompileOptions" = {
    "whitespace_flexible": False,
    "item_separator": ", ",
    "key_separator": ": ",
}


class Matcher:
    """Where one answer is in its grammar."""

    def __init__(
        self, inner: "LLMatcher", words: int, pool: ThreadPoolExecutor, constraint: Constraint
    ) -> None:
        """`words` are the mask's 32-bit words; masks are made on `pool`."""
        self._inner = inner
        self._pool = pool
        self._constraint = constraint
        self._mask = np.empty(words, np.int32)
        self._made: Future[None] = pool.submit(self._make)

    def mask(self) -> NDArray[np.int32]:
        """(ceil(vocab / 32),) int32, the bits of the tokens that may come next; until `accept`."""
        self._made.result()
        return self._mask

    def accept(self, token: int) -> None:
        """Go on by a drawn token, and begin the next mask."""
        self._made.result()
        self._inner.consume_token(token)
        if not self._inner.is_stopped():
            self._made = self._pool.submit(self._make)

    def fork(self, token: int | None = None) -> "Matcher":
        """Another answer of the same prompt, going on by its own `token`."""
        self._made.result()
        other = Matcher(self._inner.deep_copy(), len(self._mask), self._pool, self._constraint)
        if token is not None:
            other.accept(token)
        return other

    @property
    def complete(self) -> bool:
        """Whether nothing more can follow."""
        return bool(self._inner.is_stopped())

    @property
    def failure(self) -> LlmosError | None:
        """What became of a grammar that grew past its limits, if it did."""
        if not self._inner.is_error():
            return None
        return _refusal(self._constraint, self._inner.get_error())

    def _make(self) -> None:
        # Releases the GIL.
        self._inner.unsafe_compute_mask_ptr(self._mask.ctypes.data, self._mask.nbytes)


class GrammarCompiler:
    """Makes matchers for one model's tokens; `done` gets each, or its error, on another thread."""

    def __init__(
        self,
        folder: Path,
        vocab_size: int,
        done: Callable[[int, Matcher | LlmosError], None],
    ) -> None:
        """`folder` is the version's; the tokenizer is read when the first grammar comes."""
        self._folder = folder
        self._vocab_size = vocab_size
        self._done = done
        self._compiling = ThreadPoolExecutor(1, "grammars")
        self._masking = ThreadPoolExecutor(1, "masks")

    def begin(self, request: Submit, constraint: Constraint) -> None:
        """Start compiling."""

        def run() -> None:
            try:
                outcome: Matcher | LlmosError = self.compile(constraint)
            except LlmosError as error:
                outcome = error
            except Exception:  # noqa: BLE001 - a generation must hear of whatever happened to it
                outcome = InternalError("the constraint could not be compiled")
            self._done(request.id, outcome)

        self._compiling.submit(run)

    def compile(self, constraint: Constraint) -> Matcher:
        """Compile now.

        Raises:
            InvalidField: the grammar is none, or asks for what cannot be enforced.
            FeatureUnavailable: the model's tokenizer cannot be used for it.
        """
        from llguidance import LLMatcher  # noqa: PLC0415 - most engines never need it

        if constraint.kind == "json_schema":
            try:
                grammar = LLMatcher.grammar_from_json_schema(constraint.text, defaults=_JSON_FORM)
            except ValueError as error:
                raise _refusal(constraint, str(error)) from None
        elif constraint.kind == "regex":
            grammar = LLMatcher.grammar_from_regex(constraint.text)
        else:
            grammar = LLMatcher.grammar_from_lark(constraint.text)
        inner = LLMatcher(self._tokenizer, grammar, log_level=0)
        if inner.is_error():
            raise _refusal(constraint, inner.get_error())
        return Matcher(inner, -(-self._vocab_size // 32), self._masking, constraint)

    @cached_property
    def _tokenizer(self) -> "LLTokenizer":
        from llguidance import LLTokenizer  # noqa: PLC0415

        document = read_regular(self._folder, TOKENIZER, _LARGEST).decode()
        defaults = msgspec.json.decode(
            read_regular(self._folder, GENERATION, _LARGEST), type=GenerationDefaults
        )
        try:
            return LLTokenizer(
                document, n_vocab=self._vocab_size, eos_token=defaults.eos_token_ids or None
            )
        except Exception:  # noqa: BLE001 - whatever the library raises on a tokenizer it does not know
            raise FeatureUnavailable(
                "this model's tokenizer cannot be constrained; leave constraint and tools out"
            ) from None


def _refusal(constraint: Constraint, reason: str) -> InvalidField:
    """The library's first line, which points at the place."""
    line = " ".join(reason.split())[:_LONGEST_ERROR]
    return InvalidField.of(constraint.field, f"cannot be used: {line}")
