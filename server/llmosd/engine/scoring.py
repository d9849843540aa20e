"""What is found out about a prompt where nothing is drawn."""

from torch import Tensor

from llmosd.engine.draws import Sampler
from llmosd.engine.runner import Runner
from llmosd.engine.slices import Slice
from llmosd.ipc.messages import Scored


def answer(
    part: Slice, logits: Tensor, first: int, runner: Runner, sampler: Sampler
) -> Scored | None:
    """What a slice of a passive task has found; None while there is nothing to say.

    Args:
        part: a slice that has run, before it is counted as computed.
        logits: (part.num_logits, outputs) float32, its own.
        first: its first row in the run.
        runner: what it has run on.
        sampler: tells log-probabilities from logits.
    """
    request = part.sequence.request
    match request.task:
        case "score":
            return _scores(part, logits, sampler)
        case "classify":
            return Scored(request.id, 0, logits[0].tolist(), True) if len(logits) else None
        case "encode":
            return Scored(request.id, 0, runner.posterior(part.sequence), True)
        case "embed":
            return _pool(part, runner.hidden(first, part.count))
    raise AssertionError(request.task)


def _scores(part: Slice, logits: Tensor, sampler: Sampler) -> Scored | None:
    """How likely the tokens after a slice's last ones are."""
    sequence, scoring = part.sequence, part.sequence.request.scoring
    assert scoring is not None
    if not part.num_logits:
        return None
    end = sequence.computed + part.count
    first = end - part.num_logits + 1
    following = [*sequence.tokens[first : end + 1], scoring.end][: part.num_logits]
    logprobs, ranks, top = sampler.score(logits, following, scoring.top)
    done = part.count == sequence.num_pending
    return Scored(sequence.request.id, first, logprobs, done, ranks, top)


def _pool(part: Slice, hidden: Tensor) -> Scored | None:
    """Add a slice's hidden states (rows, hidden_size) float32 to its text's vector."""
    sequence = part.sequence
    match sequence.request.pooling:
        case "mean":
            own = hidden.double().sum(0)
            # One that lost its place begins anew.
            sequence.pooled = sequence.pooled + own if sequence.computed else own
        case "last":
            sequence.pooled = hidden[-1].clone()
        case "first":
            sequence.pooled = sequence.pooled if sequence.computed else hidden[0].clone()
    if part.count < sequence.num_pending:
        return None
    vector: Tensor = sequence.pooled
    if sequence.request.pooling == "mean":
        vector = vector / len(sequence.tokens)
    return Scored(sequence.request.id, 0, vector.float().tolist(), True)
