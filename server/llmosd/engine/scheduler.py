"""Which sequences run in the next step, and with how many tokens.

Continuous batching with chunked prefill (Yu et al., 2022; Agrawal et al., 2023): a step has a
budget of tokens; sequences that decode take one each, prompts share the rest in chunks. Blocks are
taken as they are needed; when none is left, the sequence that came last gives its own back and is
computed again later. What an earlier prompt computed and the pool still has is not computed again.
Knows no tensors.
"""

from collections import deque
from dataclasses import dataclass

from llmosd.engine.block_pool import BlockPool
from llmosd.engine.grammar import Matcher
from llmosd.engine.sequence import Sequence
from llmosd.errors import ContextLengthExceeded, InvalidField
from llmosd.ipc.messages import Submit

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
        if self.sequence.request.score:
            return self.count
        return 1 + len(self.drafts) if self.draws else 0


class Scheduler:
    """Waiting and running sequences, in order of arrival."""

    def __init__(
        self,
        pool: BlockPool,
        *,
        block_tokens: int,
        max_sequences: int,
        step_tokens: int,
        draft_tokens: int = 0,
    ) -> None:
        """`step_tokens` is raised to max_sequences, so that everything can decode at once.

        Up to `draft_tokens` tokens of an answer are guessed ahead; 0 where a row's bits depend on
        the step it is in.
        """
        self._pool = pool
        self._block_tokens = block_tokens
        self._max_sequences = max_sequences
        self._step_tokens = max(step_tokens, max_sequences)
        self._draft_tokens = draft_tokens
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []
        self.preemptions = 0

    @property
    def has_work(self) -> bool:
        """Whether a step would do anything."""
        return bool(self.waiting or self.running)

    def add(self, request: Submit, matcher: Matcher | None = None) -> None:
        """Queue a generation; `matcher` holds a constrained one to its form.

        Raises:
            ContextLengthExceeded: when even an empty cache could not hold it.
            InvalidField: when it wants more answers than may run at once.
        """
        if request.num_choices > self._max_sequences:
            raise InvalidField.of("sampling.n", f"this model runs {self._max_sequences} at once")
        longest = len(request.prompt) + request.max_tokens
        if self._blocks_for(longest) > self._pool.num_blocks:
            limit = self._pool.num_blocks * self._block_tokens
            raise ContextLengthExceeded(
                f"prompt and max_tokens are {longest} tokens; this model's cache holds {limit}",
                metadata={"limit": str(limit), "actual": str(longest)},
            )
        self.waiting.append(Sequence(request, 0, list(request.prompt), matcher))

    def remove(self, request_id: int, choice: int) -> None:
        """Forget a generation (choice -1) or one answer, running or waiting."""

        def meant(sequence: Sequence) -> bool:
            return sequence.request.id == request_id and choice in (-1, sequence.choice)

        for sequence in self.running:
            if meant(sequence):
                self._release(sequence)
        self.running = [s for s in self.running if not meant(s)]
        self.waiting = deque(s for s in self.waiting if not meant(s))

    def schedule(self) -> list[Slice]:
        """Choose the next step's slices and take the blocks they need."""
        budget = self._step_tokens
        chosen: dict[Sequence, int] = {}
        # Decoding first: a long prompt never delays a running stream by more than its chunk.
        for sequence in sorted(self.running, key=lambda s: s.num_pending > 1):
            if sequence not in self.running or budget == 0:
                continue
            count = min(sequence.num_pending, budget, _most(sequence))
            if self._grow(sequence, count, chosen):
                chosen[sequence] = count
                budget -= count
        while budget and self._admit_next():
            sequence = self.running[-1]
            count = min(sequence.num_pending, budget, _most(sequence))
            needed = self._blocks_for(sequence.computed + count) - len(sequence.blocks)
            sequence.blocks += self._pool.take(needed)
            chosen[sequence] = count
            budget -= count
        room = min(budget, _MOST_DRAFTED_ROWS - sum(chosen.values()))
        slices = []
        for sequence, count in chosen.items():
            drafts = self._draft(sequence, min(room, self._draft_tokens)) if count == 1 else []
            room -= len(drafts)
            draws = count == sequence.num_pending and not sequence.request.score
            slices.append(Slice(sequence, count, draws, drafts))
        return slices

    def advance(self, sequence: Sequence, count: int) -> None:
        """Note that `count` tokens have run; blocks they filled can be found from now on."""
        first = sequence.computed // self._block_tokens
        sequence.computed += count
        for index in range(first, sequence.computed // self._block_tokens):
            key = sequence.block_key(index, self._block_tokens)
            self._pool.publish(sequence.blocks[index], key)

    def fork(self, leader: Sequence, token: int, choice: int) -> tuple[Sequence, list[int]]:
        """Start another answer after the leader's computed prompt, with its own first token.

        Full blocks are shared. Returns the new sequence, and the pair of blocks (from, to) whose
        content must be copied: the prompt's last, partly filled one; empty where there is none.
        Without a free block for it the sequence computes the prompt itself, later.
        """
        matcher = leader.matcher.fork(token) if leader.matcher is not None else None
        sequence = Sequence(leader.request, choice, [*leader.request.prompt, token], matcher)
        full, rest = divmod(leader.computed, self._block_tokens)
        if rest and not self._pool.num_free:
            self.waiting.appendleft(sequence)
            return sequence, []
        sequence.blocks = leader.blocks[:full]
        self._pool.share(sequence.blocks)
        sequence.computed = leader.computed
        self.running.append(sequence)
        if not rest:
            return sequence, []
        sequence.blocks += self._pool.take(1)
        return sequence, [leader.blocks[full], sequence.blocks[full]]

    def finish(self, sequence: Sequence) -> None:
        """Give back what an ended sequence holds."""
        self.remove(sequence.request.id, sequence.choice)

    def _blocks_for(self, tokens: int) -> int:
        return -(-tokens // self._block_tokens)

    def _grow(self, sequence: Sequence, count: int, chosen: dict[Sequence, int]) -> bool:
        """Take blocks for `count` more tokens, at the expense of later sequences if need be."""
        needed = self._blocks_for(sequence.computed + count) - len(sequence.blocks)
        while needed > self._pool.num_free:
            victim = next(s for s in reversed(self.running) if s not in chosen or s is sequence)
            self._preempt(victim)
            if victim is sequence:
                return False
        sequence.blocks += self._pool.take(max(needed, 0))
        return True

    def _preempt(self, sequence: Sequence) -> None:
        """Put a running sequence back to the head of the queue; its tokens are kept."""
        self.running.remove(sequence)
        self._release(sequence)
        self.waiting.appendleft(sequence)
        self.preemptions += 1

    def _release(self, sequence: Sequence) -> None:
        self._pool.release(sequence.blocks)
        sequence.blocks = []
        sequence.computed = 0

    def _admit_next(self) -> bool:
        """Move the first waiting sequence to the running ones, if its whole prompt fits now."""
        if not self.waiting:
            return False
        sequence = self.waiting[0]
        answers = sequence.request.num_choices if sequence.leads else 1
        reserved = sum(s.request.num_choices - 1 for s in self.running if s.leads)
        if len(self.running) + reserved + answers > self._max_sequences:
            return False
        known = self._known_blocks(sequence)
        # Held before anything is counted: what is known may be free, and must not be taken.
        self._pool.share(known)
        if self._blocks_for(len(sequence.tokens) + 1) - len(known) > self._pool.num_free:
            self._pool.release(known)
            return False
        sequence.blocks, sequence.computed = known, len(known) * self._block_tokens
        self.running.append(self.waiting.popleft())
        return True

    def _draft(self, sequence: Sequence, most: int) -> list[int]:
        """Guesses at what the sequence draws, as far as they cost nobody anything."""
        left = sequence.request.max_tokens - sequence.num_drawn - 1
        most = min(most, left, self._free_positions(sequence))
        if most < 1 or not sequence.can_draft:
            return []
        drafts = sequence.drafter.propose(sequence.tokens, most)
        end = sequence.computed + 1 + len(drafts)
        sequence.blocks += self._pool.take(max(0, self._blocks_for(end) - len(sequence.blocks)))
        return drafts

    def _free_positions(self, sequence: Sequence) -> int:
        """Positions after the next one that there is room for without taking from others."""
        blocks = len(sequence.blocks) + self._pool.num_free
        return blocks * self._block_tokens - sequence.computed - 1

    def _known_blocks(self, sequence: Sequence) -> list[int]:
        """Blocks that hold the sequence's beginning; its last token is always left to compute."""
        if sequence.request.score:  # every token's logits are wanted
            return []
        full = (len(sequence.tokens) - 1) // self._block_tokens
        return self._pool.find(sequence.block_key(i, self._block_tokens) for i in range(full))


def _most(sequence: Sequence) -> int:
    """Tokens of a sequence that one step may run."""
    return _MOST_SCORED_ROWS if sequence.request.score else sequence.num_pending
