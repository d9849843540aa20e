"""What one step runs: tokens of sequences, and how the step is put together."""

from dataclasses import dataclass, field

from llmosd.engine.block_pool import BlockPool
from llmosd.engine.sequence import Sequence

# Guesses pay while a step waits for memory; with more rows than this it waits for arithmetic.
_MOST_DRAFTED_ROWS = 16
# Logits of a large vocabulary take a fifth of a megabyte per row.
_MOST_SCORED_ROWS = 128


@dataclass(frozen=True, slots=True)
class Slice:
    """Tokens [sequence.computed, + count) of a sequence, to run in this step."""

    sequence: Sequence
    count: int
    draws: bool  # whether it reaches the sequence's end, so that a token is drawn
    drafts: list[int]  # guesses at the tokens after these; checked in the same step

    @property
    def tokens(self) -> list[int]:
        """What is run, guesses included."""
        first = self.sequence.computed
        return self.sequence.tokens[first : first + self.count] + self.drafts

    @property
    def num_logits(self) -> int:
        """Rows that logits are wanted of: the last ones."""
        match self.sequence.request.task:
            case "score":
                return max(0, self.count - unscored(self.sequence))
            case "classify":
                return int(self.count == self.sequence.num_pending)
            case "encode" | "embed":
                return 0
        return 1 + len(self.drafts) if self.draws else 0


@dataclass(slots=True)
class Step:
    """A step while it is put together: what is left of its tokens, and who has how many."""

    left: int
    whole: bool = False  # prompts are read in one piece, whatever the budget
    counts: dict[Sequence, int] = field(default_factory=dict)
    full: bool = False  # the next one that waits does not fit

    def share(self, sequence: Sequence) -> int:
        """Tokens that a sequence may run."""
        if self.whole and not sequence.computed:
            return sequence.num_pending if self.left else 0
        most = sequence.num_pending
        if sequence.request.task == "score":
            most = _MOST_SCORED_ROWS + unscored(sequence)
        return min(sequence.num_pending, self.left, most)

    def give(self, sequence: Sequence, count: int) -> None:
        """Let a sequence run so many."""
        self.counts[sequence] = count
        self.left = max(0, self.left - count)

    def drop(self, sequence: Sequence) -> None:
        """Take back what a sequence has, if anything."""
        count = self.counts.pop(sequence, 0)
        if not (self.whole and count > 1):
            self.left += count


def unscored(sequence: Sequence) -> int:
    """Pending tokens, of a prompt to be scored, after which no token's score is wanted."""
    scoring = sequence.request.scoring
    assert scoring is not None
    return max(0, scoring.first - 1 - sequence.computed)


def cut(step: Step, pool: BlockPool, block_tokens: int, draft_tokens: int) -> list[Slice]:
    """Make the step's slices, with up to `draft_tokens` guesses where they cost nobody anything."""
    room = min(step.left, _MOST_DRAFTED_ROWS - sum(step.counts.values()))
    slices = []
    for sequence, count in step.counts.items():
        drafts: list[int] = []
        if count == 1:
            drafts = _draft(sequence, min(room, draft_tokens), pool, block_tokens)
        room -= len(drafts)
        draws = count == sequence.num_pending and not sequence.request.passive
        slices.append(Slice(sequence, count, draws, drafts))
    return slices


def _draft(sequence: Sequence, most: int, pool: BlockPool, block_tokens: int) -> list[int]:
    """Guesses at what a sequence draws, where there is room without taking from others."""
    left = sequence.request.max_tokens - sequence.num_drawn - 1
    positions = (len(sequence.blocks) + pool.num_free) * block_tokens - sequence.computed - 1
    most = min(most, left, positions)
    if most < 1 or not sequence.can_draft:
        return []
    drafts = sequence.drafter.propose(sequence.tokens, most)
    needed = -(-(sequence.computed + 1 + len(drafts)) // block_tokens)
    sequence.blocks += pool.take(max(0, needed - len(sequence.blocks)))
    return drafts
