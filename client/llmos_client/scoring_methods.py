"""What a client asks about texts that are there already."""

from collections.abc import Sequence

from llmos_client import calls_explaining, calls_scoring, explanations, scores
from llmos_client.connection import Connection
from llmos_client.options import MessageLike


class ScoringMethods(Connection):
    """The part of Client about scores, labels, grades and vectors."""

    def score(
        self,
        model: str,
        text: str | None = None,
        *,
        tokens: Sequence[int] | None = None,
        prefix: bool = False,
        top: int = 0,
        priority: str | None = None,
        timeout: float | None = None,
    ) -> scores.Score:
        """Tell how likely each token of a text is after the ones before it.

        With `prefix` the model's prefix token is put before it, so that its first token has a
        probability, too. `top` likeliest tokens are told at each place.
        """
        request = calls_scoring.score_request(model, text, tokens, prefix=prefix, top=top)
        return self._call(calls_scoring.score(request, priority, timeout))

    def score_choices(
        self,
        model: str,
        context: str | Sequence[int],
        choices: Sequence[str | Sequence[int]],
        *,
        parse_special: bool = False,
        priority: str | None = None,
        timeout: float | None = None,
    ) -> scores.ChoiceScores:
        """Tell how likely each choice is after the context; each is a text, or token ids.

        An empty context stands for the model's prefix token.
        """
        request = calls_scoring.choices_request(
            model, context, choices, parse_special=parse_special
        )
        return self._call(calls_scoring.score_choices(request, priority, timeout))

    def classify(
        self,
        model: str,
        text: str | None = None,
        *,
        tokens: Sequence[int] | None = None,
        priority: str | None = None,
        timeout: float | None = None,
    ) -> scores.Classification:
        """Tell which label, or which grade, a text has."""
        return self._call(calls_scoring.classify(model, text, tokens, priority, timeout))

    def embed(
        self,
        model: str,
        inputs: Sequence[str | Sequence[int]],
        *,
        pooling: str | None = None,
        normalize: bool = False,
        priority: str | None = None,
        timeout: float | None = None,
    ) -> scores.Embeddings:
        """Make a vector of each input, a text or token ids.

        `pooling` is "mean", "last" or "first"; with `normalize` vectors are 1 long.
        """
        request = calls_scoring.embed_request(model, inputs, pooling, normalize=normalize)
        return self._call(calls_scoring.embed(request, priority, timeout))

    def explain(
        self,
        model: str,
        prompt: str | None = None,
        *,
        messages: Sequence[MessageLike] | None = None,
        tokens: Sequence[int] | None = None,
        answer: str | Sequence[int] | None = None,
        max_tokens: int | None = None,
        target: int | None = None,
        baseline: str | None = None,
        top: int | None = None,
        max_steps: int | None = None,
        timeout: float | None = None,
    ) -> explanations.Explanation:
        """Tell which tokens of a prompt an answer hangs on, and what else might have been said.

        Without an `answer` it is what the model says greedily, up to `max_tokens`. `target` is the
        place of one of its tokens; all of them by default. `baseline` is "mean" (the default) or
        "zero": what the prompt's embeddings are compared with.
        """
        request = calls_explaining.explain_request(
            model, prompt, messages, tokens, answer, max_tokens=max_tokens, target=target,
            baseline=baseline, top=top, max_steps=max_steps,
        )  # fmt: skip
        return self._call(calls_explaining.explain(request, timeout))
