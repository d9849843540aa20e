"""Which sequences run in the next step, and with how many tokens.

Continuous batching with chunked prefill (Yu et al., 2022; Agrawal et al., 2023): a step has a
budget of tokens; sequences that decode take one each, prompts share the rest in chunks. Blocks are
taken as they are needed; when none is left, the sequence that matters least gives its own back and
is computed again later. What an earlier prompt computed and the pool still has is not computed
again. Who comes first, and who matters least, `policy` says. Knows no tensors.
"""

from llmosd.engine.block_pool import BlockPool
from llmosd.engine.forecast import Forecast
from llmosd.engine.grammar import Matcher
from llmosd.engine.policy import Policy
from llmosd.engine.sequence import Sequence
from llmosd.engine.slices import Slice, Step, cut
from llmosd.errors import ContextLengthExceeded, InvalidField
from llmosd.ipc.messages import Submit


class Scheduler:
    """Waiting and running sequences."""

    def __init__(
        self,
        pool: BlockPool,
        policy: Policy,
        *,
        block_tokens: int,
        max_sequences: int,
        step_tokens: int,
        draft_tokens: int = 0,
        whole: bool = False,
    ) -> None:
        """`step_tokens` is raised to max_sequences, so that everything can decode at once.

        Up to `draft_tokens` tokens of an answer are guessed ahead; 0 where a row's bits depend on
        the step it is in. With `whole`, prompts are read in one piece, and no block's content is a
        function of the tokens before its end: none is shared.
        """
        self._pool = pool
        self.policy = policy
        self._block_tokens = block_tokens
        self._max_sequences = max_sequences
        self._step_tokens = max(step_tokens, max_sequences)
        self._draft_tokens = draft_tokens
        self._whole = whole
        self.forecast = Forecast(policy, max_sequences)
        self.running: list[Sequence] = []
        self.preemptions = 0

    @property
    def has_work(self) -> bool:
        """Whether a step would do anything."""
        return bool(self.policy.num_waiting or self.running)

    def add(self, request: Submit, matcher: Matcher | None = None, now: float = 0.0) -> None:
        """Queue a generation at time `now`; `matcher` holds a constrained one to its form.

        Raises:
            ContextLengthExceeded: when even an empty cache could not hold it.
            InvalidField: when it wants more answers than may run at once.
            DeadlineUnattainable: when its first token would come too late.
        """
        if request.width > self._max_sequences:
            field = "beams" if request.sampling.beams else "n"
            raise InvalidField.of(
                f"sampling.{field}", f"this model runs {self._max_sequences} at once"
            )
        longest = len(request.prompt) + request.max_tokens
        # Beams go on together: all of them have to be in the cache.
        blocks = self._pool.num_blocks // max(1, request.sampling.beams)
        if self._blocks_for(longest) > blocks:
            limit = blocks * self._block_tokens
            raise ContextLengthExceeded(
                f"prompt and max_tokens are {longest} tokens; this model's cache holds {limit}",
                metadata={"limit": str(limit), "actual": str(longest)},
            )
        sequence = Sequence(request, 0, list(request.prompt), matcher)
        if request.deadline is not None:
            known = len(self._known_blocks(sequence)) * self._block_tokens
            self.forecast.check(sequence, self.running, known, request.deadline - now)
        for each in [sequence, *sequence.others()]:
            self.policy.enter(each)
            self.policy.put(each)

    def remove(self, request_id: int, choice: int) -> None:
        """Forget a generation (choice -1) or one answer, running or waiting."""

        def meant(sequence: Sequence) -> bool:
            return sequence.request.id == request_id and choice in (-1, sequence.choice)

        ended = [sequence for sequence in self.running if meant(sequence)]
        for sequence in ended:
            self._release(sequence)
        self.running = [s for s in self.running if s not in ended]
        for sequence in ended + self.policy.drop(meant):
            self.forecast.pace.learn_answer(sequence)
            self.policy.leave(sequence)

    def drop_late(self, now: float) -> list[int]:
        """Forget the generations that still wait after their deadline; which they were."""
        late = self.policy.late(now)
        for sequence in late:
            self.policy.leave(sequence)
        found = list({sequence.request.id: None for sequence in late})
        for request_id in found:  # answers of theirs that run
            self.remove(request_id, -1)
        self.forecast.late += len(found)
        return found

    def schedule(self) -> list[Slice]:
        """Choose the next step's slices and take the blocks they need."""
        step = Step(self._step_tokens, self._whole)
        # Decoding first: a long prompt never delays a running stream by more than its chunk.
        for sequence in [s for s in self.running if s.num_pending == 1]:
            self._run(sequence, step)
        prompts = [s for s in self.running if s.num_pending > 1]
        for sequence in sorted(prompts, key=self.policy.prompt_order):
            self._admit_above(sequence.standing, step)
            self._run(sequence, step)
        self._admit_above(-1, step)
        return cut(step, self._pool, self._block_tokens, self._draft_tokens)

    def advance(self, sequence: Sequence, count: int) -> None:
        """Note that `count` tokens have run; blocks they filled can be found from now on."""
        first = sequence.computed // self._block_tokens
        sequence.computed += count
        if self._whole:
            return
        for index in range(first, sequence.computed // self._block_tokens):
            key = sequence.block_key(index, self._block_tokens)
            self._pool.publish(sequence.blocks[index], key)

    def fork(
        self, leader: Sequence, token: int, choice: int
    ) -> tuple[Sequence, list[tuple[int, int]]]:
        """Start another answer after the leader's computed tokens, with a token of its own.

        Full blocks are shared. Returns the new sequence, and the pairs of blocks (from, to) whose
        content must be copied: the prompt's last one, where it is partly filled; where blocks
        cannot be shared, all. Without free blocks for them the sequence computes its tokens itself,
        later.
        """
        matcher = leader.matcher.fork(token) if leader.matcher is not None else None
        sequence = Sequence(leader.request, choice, [*leader.tokens, token], matcher)
        sequence.started = leader.started
        self.policy.enter(sequence, leader)
        full = 0 if self._whole else leader.computed // self._block_tokens
        own = leader.blocks[full : self._blocks_for(leader.computed)]
        if len(own) > self._pool.num_free:
            self.policy.put(sequence)
            return sequence, []
        sequence.blocks = leader.blocks[:full]
        self._pool.share(sequence.blocks)
        sequence.computed = leader.computed
        self.running.append(sequence)
        taken = self._pool.take(len(own))
        sequence.blocks += taken
        return sequence, list(zip(own, taken, strict=True))

    def finish(self, sequence: Sequence) -> None:
        """Give back what an ended sequence holds."""
        self.remove(sequence.request.id, sequence.choice)

    def _blocks_for(self, tokens: int) -> int:
        return -(-tokens // self._block_tokens)

    def _run(self, sequence: Sequence, step: Step) -> None:
        """Give a sequence what it may have of a step; it may have lost its place meanwhile."""
        count = step.share(sequence)
        if count and sequence in self.running and self._grow(sequence, count, step):
            step.give(sequence, count)

    def _grow(self, sequence: Sequence, count: int, step: Step) -> bool:
        """Take blocks for `count` more tokens, at the expense of what matters less if need be."""
        needed = self._blocks_for(sequence.computed + count) - len(sequence.blocks)
        while needed > self._pool.num_free:
            victim = self.policy.victims(self.running)[0]
            self._preempt(victim, step)
            if victim is sequence:
                return False
        sequence.blocks += self._pool.take(max(needed, 0))
        return True

    def _preempt(self, sequence: Sequence, step: Step) -> None:
        """Let a running sequence wait again where it stood; its tokens are kept."""
        self.running.remove(sequence)
        self._release(sequence)
        step.drop(sequence)
        self.policy.put(sequence)
        self.preemptions += 1

    def _release(self, sequence: Sequence) -> None:
        self._pool.release(sequence.blocks)
        sequence.blocks = []
        sequence.computed = 0

    def _admit_above(self, standing: int, step: Step) -> None:
        """Begin what waits in classes above `standing`, as long as it fits, and run it."""
        while step.left and not step.full:
            candidates = self.policy.candidates(self.running)
            candidates = [s for s in candidates if s.request.priority > standing]
            begun = next((s for s in candidates if self._admit(s, step)), None)
            if begun is not None:
                self._run(begun, step)
            elif candidates:
                step.full = True
            else:
                return

    def _admit(self, sequence: Sequence, step: Step) -> bool:
        """Let a waiting sequence run, if its whole prompt fits now."""
        missing = sum(map(_places, self.running)) + _places(sequence) - self._max_sequences
        lower = self.policy.interruptible(sequence, self.running)
        if missing > sum(map(_places, lower)):
            return False
        known = self._known_blocks(sequence)
        # Held before anything is counted: what is known may be free, and must not be taken.
        self._pool.share(known)
        needed = self._blocks_for(len(sequence.tokens) + 1) - len(known)
        if not self._make_room(lower, missing, needed - self._pool.num_free, step):
            self._pool.release(known)
            return False
        sequence.blocks, sequence.computed = known, len(known) * self._block_tokens
        self.running.append(sequence)
        self.policy.begin(sequence)
        return True

    def _make_room(self, lower: list[Sequence], places: int, blocks: int, step: Step) -> bool:
        """Preempt as few of the lower ones as are needed; none where all would not do."""
        if self._pool.num_released([b for s in lower for b in s.blocks]) < blocks:
            return False
        victims = self.policy.victims(lower)
        while places > 0 or blocks > 0:
            victim, free = victims.pop(0), self._pool.num_free
            places -= _places(victim)
            self._preempt(victim, step)
            blocks -= self._pool.num_free - free
        return True

    def _known_blocks(self, sequence: Sequence) -> list[int]:
        """Blocks that hold the sequence's beginning; its last token is always left to compute."""
        request, known = sequence.request, len(sequence.tokens) - 1
        if self._whole or (request.task == "embed" and request.pooling != "last"):
            return []  # nobody's blocks are another's, or every token's hidden state is wanted
        if request.scoring is not None:
            known = min(known, request.scoring.first - 1)  # the rest's logits are wanted
        full = known // self._block_tokens
        return self._pool.find(sequence.block_key(i, self._block_tokens) for i in range(full))


def _places(sequence: Sequence) -> int:
    """Answers that a sequence has a place for, those that wait for its prompt included."""
    return sequence.request.width if sequence.leads else 1
