"""Examples of an evaluation as questions to a version, each asked as any caller would ask it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from llmos.v1 import evaluation_pb2, generation_service_pb2, priority_pb2, scoring_service_pb2
from llmosd.errors import InvalidField
from llmosd.jobs.evaluating.specs import PreparedPart, Task
from llmosd.rpc.caller import Caller
from llmosd.rpc.generator import Generator
from llmosd.rpc.patience import Patience
from llmosd.rpc.prompts import ask
from llmosd.rpc.scoring_servicer import ScoringServicer
from llmosd.rpc.text_models import TextModels, render_chat
from llmosd.store.records import VersionRecord

Row = dict[str, Any]
Said = dict[str, Any]
T = TypeVar("T")

_WINDOW = 1024
_ANSWER_TOKENS = 256
_QUESTION = "{text}\n"


@dataclass(slots=True)
class Took:
    """What the questions took; times in seconds."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    first_tokens: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Respondent:
    """The version that is asked, and through what; `questions` limits how many at once."""

    record: VersionRecord
    generator: Generator
    scoring: ScoringServicer
    texts: TextModels
    caller: Caller
    priority: priority_pb2.Priority
    patience: Patience
    questions: asyncio.Semaphore
    took: Took

    async def ask(self, question: Callable[[], Awaitable[T]]) -> T:
        """Put one question, when there is room for it."""
        async with self.questions:
            began = time.monotonic()
            answer = await self.patience(question)
            self.took.latencies.append(time.monotonic() - began)
            return answer

    async def encode(self, text: str) -> list[int]:
        """The tokens of a text that begins with it."""
        model = await self.texts.get(self.record)
        return await model.encode(text, add_special=True, parse_special=False)

    async def score(self, ids: list[int]) -> scoring_service_pb2.ScoreTextResponse:
        """How likely each token is after those before it."""
        request = scoring_service_pb2.ScoreTextRequest(
            model=self.record.name, priority=self.priority
        )
        request.tokens.ids.extend(ids)
        response = await self.ask(lambda: self.scoring.ScoreText(request, self.caller.call()))
        self.took.prompt_tokens += len(ids)
        return response


class Asker:
    """Asks the examples of one part."""

    def __init__(
        self, part: PreparedPart, settings: evaluation_pb2.EvaluationSettings, to: Respondent
    ) -> None:
        self._part, self._settings, self._to = part, settings, to
        methods: dict[Task, Callable[[Row], Awaitable[Said]]] = {
            "score": self._score,
            "answer": self._answer,
            "check": self._answer,
            "classify": self._classify,
            "regress": self._classify,
            "choose": self._choose,
            "prefer": self._prefer,
        }
        assert part.spec.task is not None, "prepared parts have a task"
        self._method = methods[part.spec.task]

    async def __call__(self, row: Row) -> Said:
        """What the version says to a row; see Output.said.

        Raises:
            ROW_FAULTS: the row cannot be asked. And what the version itself refuses by.
        """
        return await self._method(row)

    async def _score(self, row: Row) -> Said:
        """In pieces of the window, the first token of each not counted."""
        ids = await self._to.encode(row["text"])
        room = self._to.record.context_length
        window = min(self._settings.window or _WINDOW, room)
        pieces = [ids[at : at + window] for at in range(0, len(ids), window)]
        pieces = [piece for piece in pieces if len(piece) > 1]
        if not pieces:
            raise InvalidField.of("text", "has one token; nothing comes before it to score it by")
        scores = await asyncio.gather(*map(self._to.score, pieces))
        return {
            "logprob": sum(score.logprob for score in scores),
            "tokens": sum(len(score.tokens) - 1 for score in scores),
            "bytes": sum(len(token.bytes) for score in scores for token in score.tokens[1:]),
            "hits": sum(token.rank == 1 for score in scores for token in score.tokens[1:]),
        }

    async def _answer(self, row: Row) -> Said:
        settings, to = self._settings, self._to
        request = generation_service_pb2.GenerateRequest(model=to.record.name, priority=to.priority)
        ask(request, row, row.get("system") or settings.system, chat=to.record.chat)
        request.sampling.CopyFrom(settings.sampling)
        if not {"temperature", "beams"} & {
            field.name for field, _ in settings.sampling.ListFields()
        }:
            request.sampling.temperature = 0.0
        request.stopping.CopyFrom(settings.stopping)
        if not settings.stopping.HasField("max_tokens"):
            request.stopping.max_tokens = min(_ANSWER_TOKENS, to.record.context_length // 2)
        text, outcome = await to.ask(lambda: to.generator.whole(request, to.caller))
        to.took.prompt_tokens += outcome.prompt_tokens
        to.took.completion_tokens += outcome.completion_tokens
        to.took.first_tokens.append(outcome.queue + outcome.prefill)
        return {"answer": text}

    async def _classify(self, row: Row) -> Said:
        request = scoring_service_pb2.ClassifyTextRequest(
            model=self._to.record.name, priority=self._to.priority
        )
        request.text.text = row["text"]
        to = self._to
        response = await to.ask(lambda: to.scoring.ClassifyText(request, to.caller.call()))
        if self._part.spec.task == "regress":
            return {"grade": response.grade}
        return {"probabilities": {each.label: each.probability for each in response.labels}}

    async def _choose(self, row: Row) -> Said:
        if self._part.labels:
            question = self._settings.question or _QUESTION
            context, choices = question.replace("{text}", row["text"]), self._part.labels
        else:
            context, choices = row["prompt"], row["choices"]
        logprobs = await self._continuations(context, choices)
        return {"logprobs": logprobs, "bytes": [len(choice.encode()) for choice in choices]}

    async def _prefer(self, row: Row) -> Said:
        replies = [row["chosen"], row["rejected"]]
        if self._to.record.chat:
            chosen, rejected = await self._replies(row, replies)
        else:
            chosen, rejected = await self._continuations(row["prompt"], replies)
        return {"chosen": chosen, "rejected": rejected}

    async def _continuations(self, context: str, choices: list[str]) -> list[float]:
        """Log-probabilities of texts that follow another one, by lm-evaluation-harness's rules."""
        request = scoring_service_pb2.ScoreChoicesRequest()
        request.text.text = context
        for choice in choices:
            request.choices.add().text.text = choice
        return await self._scores(request)

    async def _replies(self, row: Row, replies: list[str]) -> list[float]:
        """Log-probabilities of replies to a prompt, in the model's chat template."""
        model = await self._to.texts.get(self._to.record)
        chat = generation_service_pb2.GenerateRequest()
        ask(chat, {"prompt": row["prompt"]}, self._settings.system, chat=True)
        request = scoring_service_pb2.ScoreChoicesRequest()
        request.tokens.ids.extend((await render_chat(model, chat.chat)).ids)
        for reply in replies:
            ids = await model.encode(reply, add_special=False, parse_special=False)
            request.choices.add().tokens.ids.extend(ids)
        return await self._scores(request)

    async def _scores(self, request: scoring_service_pb2.ScoreChoicesRequest) -> list[float]:
        to = self._to
        request.model, request.priority = to.record.name, to.priority
        response = await to.ask(lambda: to.scoring.ScoreChoices(request, to.caller.call()))
        return [each.logprob for each in response.choices]
