"""Guesses at the next tokens, so that one step can draw several: prompt lookup (Saxena, 2023).

What followed the last time the same three tokens came is proposed; the network checks all of it in
one step (speculative decoding, Leviathan et al., 2023). A row's logits have the same bits in any
step, and the draw is a function of seed and position: a guess that equals what is drawn is what
would have been drawn, so guessing changes the time and never the answer.
"""

_GRAM = 3
_LONGEST_PAUSE = 32


class Drafter:
    """Proposals for one answer; as many as lately were right, and one more."""

    def __init__(self) -> None:
        self._ends: dict[tuple[int, ...], int] = {}  # where each gram ended the last time
        self._indexed = _GRAM
        self._length = 2
        self._misses = 0
        self._pause = 0

    def propose(self, tokens: list[int], most: int) -> list[int]:
        """Up to `most` tokens that may follow."""
        # The gram at the end is looked up before it is filed itself.
        for end in range(self._indexed, len(tokens)):
            self._ends[tuple(tokens[end - _GRAM : end])] = end
        self._indexed = max(self._indexed, len(tokens))
        if self._pause:
            self._pause -= 1
            return []
        at = self._ends.get(tuple(tokens[-_GRAM:]))
        if at is None:
            return []
        return tokens[at : at + min(most, self._length)]

    def learn(self, proposed: int, accepted: int) -> None:
        """Note how good a proposal was; after misses in a row, be silent for a while."""
        if accepted:
            self._misses = 0
            self._length = accepted + 2 if accepted == proposed else accepted
        else:
            self._misses += 1
            self._length = 1
            self._pause = min(2**self._misses, _LONGEST_PAUSE)
