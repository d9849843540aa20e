"""The bytes behind each token id, read from a tokenizer.json.

Two spellings are in use: byte-level BPE writes every byte as a printable character (GPT-2, Radford
et al., 2019), SentencePiece writes spaces as U+2581 and rare bytes as <0xNN>.
"""

import re
from collections.abc import Callable
from typing import Any

import msgspec

_HEX = re.compile(r"<0x([0-9A-Fa-f]{2})>")


class Vocabulary:
    """Token id to bytes, and which ids are control tokens."""

    def __init__(self, tokenizer_json: bytes) -> None:
        """Read the vocabulary and the added tokens."""
        document = msgspec.json.decode(tokenizer_json)
        spell = _speller(document.get("decoder"))
        added = document.get("added_tokens") or []
        pieces = _pieces(document["model"])
        size = 1 + max([*pieces.values(), *(token["id"] for token in added)], default=-1)
        self._bytes = [b""] * size
        for piece, index in pieces.items():
            self._bytes[index] = spell(piece)
        for token in added:
            self._bytes[token["id"]] = token["content"].encode()
        self.special = {token["content"]: token["id"] for token in added if token["special"]}
        self._special_ids = frozenset(self.special.values())

    def __len__(self) -> int:
        return len(self._bytes)

    def token_bytes(self, token: int) -> bytes:
        """The token's own bytes; empty for an id the tokenizer has no token for."""
        return self._bytes[token] if token < len(self._bytes) else b""

    def is_special(self, token: int) -> bool:
        """Whether the token stands for no text."""
        return token in self._special_ids


def _pieces(model: dict[str, Any]) -> dict[str, int]:
    """Piece to id, for the vocabularies written as a table and as a list (Unigram)."""
    vocab = model["vocab"]
    if isinstance(vocab, dict):
        return vocab
    return {piece: index for index, (piece, _score) in enumerate(vocab)}


def _speller(decoder: dict[str, Any] | None) -> Callable[[str], bytes]:
    """How this tokenizer writes bytes, by the decoders it names."""
    kinds = {part.get("type") for part in [decoder or {}, *(decoder or {}).get("decoders", [])]}
    if "ByteLevel" in kinds:
        table = _byte_level_table()
        return lambda piece: b"".join(table.get(char) or char.encode() for char in piece)
    return _sentencepiece


def _sentencepiece(piece: str) -> bytes:
    match = _HEX.fullmatch(piece)
    if match:
        return bytes([int(match[1], 16)])
    return piece.replace("\u2581", " ").encode()


def _byte_level_table() -> dict[str, bytes]:
    """GPT-2's mapping: printable bytes stand for themselves, the others for U+0100 and up."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    table = {chr(byte): bytes([byte]) for byte in printable}
    table.update({chr(256 + at): bytes([byte]) for at, byte in enumerate(others)})
    return table
