"""GGUF's block formats as float32, bit for bit as ggml computes them.

Layouts: https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h. Each function takes blocks
as uint8 of shape [n, bytes] and returns float32 of shape [n, elements]; n is the caller's to keep
small, as the intermediate arrays are several times the size of the result.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]


class BlockType(NamedTuple):
    """One type: `elements` numbers are kept in `bytes` bytes."""

    name: str
    elements: int
    bytes: int
    to_float: Callable[[Bytes], Floats]


def dequantize(data: bytes | Bytes, kind: int) -> Floats:
    """Decode whole blocks of type `kind`, a key of BLOCKS; returns float32 of shape [elements]."""
    block = BLOCKS[kind]
    blocks = np.frombuffer(data, np.uint8).reshape(-1, block.bytes)
    # NaN and infinity are found by the importer's own check.
    with np.errstate(invalid="ignore", over="ignore"):
        return block.to_float(blocks).reshape(-1)


def bfloat16_to_float(bits: NDArray[np.uint16]) -> Floats:
    """The same numbers; bfloat16 is the upper half of float32."""
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


def _f32(blocks: Bytes) -> Floats:
    return blocks.view(np.float32)


def _f16(blocks: Bytes) -> Floats:
    return blocks.view(np.float16).astype(np.float32)


def _bf16(blocks: Bytes) -> Floats:
    return bfloat16_to_float(blocks.view(np.uint16))


def _half(blocks: Bytes, at: int) -> Floats:
    """The float16 at byte `at` of each block, shape [n, 1]."""
    return np.ascontiguousarray(blocks[:, at : at + 2]).view(np.float16).astype(np.float32)


def _nibbles(packed: Bytes) -> Bytes:
    """Low halves of all bytes, then high halves: shape [n, bytes] to [n, 2 x bytes]."""
    return np.concatenate([packed & np.uint8(0x0F), packed >> np.uint8(4)], axis=-1)


def _bits(packed: Bytes) -> Bytes:
    """The 32 bits of 4 bytes, lowest first: shape [n, 4] to [n, 32]."""
    return np.unpackbits(packed, axis=-1, bitorder="little")


def _q4_0(blocks: Bytes) -> Floats:
    values = _nibbles(blocks[:, 2:]).astype(np.float32) - np.float32(8)
    return _half(blocks, 0) * values


def _q4_1(blocks: Bytes) -> Floats:
    return _half(blocks, 0) * _nibbles(blocks[:, 4:]).astype(np.float32) + _half(blocks, 2)


def _q5_0(blocks: Bytes) -> Floats:
    values = _nibbles(blocks[:, 6:]) | (_bits(blocks[:, 2:6]) << np.uint8(4))
    return _half(blocks, 0) * (values.astype(np.float32) - np.float32(16))


def _q5_1(blocks: Bytes) -> Floats:
    values = _nibbles(blocks[:, 8:]) | (_bits(blocks[:, 4:8]) << np.uint8(4))
    return _half(blocks, 0) * values.astype(np.float32) + _half(blocks, 2)


def _q8_0(blocks: Bytes) -> Floats:
    return blocks[:, 2:].view(np.int8).astype(np.float32) * _half(blocks, 0)


def _k_scales(packed: Bytes) -> tuple[Floats, Floats]:
    """Eight 6-bit scales and eight 6-bit minima from 12 bytes: two of shape [n, 8].

    Bytes 0-3 hold scales 0-3, bytes 4-7 minima 0-3, bytes 8-11 the low halves of both for 4-7,
    whose upper two bits are on top of bytes 0-7.
    """
    low, middle, high = packed[:, :4], packed[:, 4:8], packed[:, 8:12]
    top = np.uint8(0x30)
    six = np.uint8(0x3F)
    scales = np.concatenate([low & six, (high & np.uint8(0x0F)) | ((low >> 2) & top)], axis=-1)
    minima = np.concatenate([middle & six, (high >> 4) | ((middle >> 2) & top)], axis=-1)
    return scales.astype(np.float32), minima.astype(np.float32)


def _q4_k(blocks: Bytes) -> Floats:
    scales, minima = _k_scales(blocks[:, 4:16])
    # Each 32 bytes hold two groups of 32: low halves, then high halves.
    values = _nibbles(blocks[:, 16:].reshape(-1, 32)).reshape(-1, 8, 32)
    return _k_result(blocks, scales, minima, values)


def _q5_k(blocks: Bytes) -> Floats:
    scales, minima = _k_scales(blocks[:, 4:16])
    low = _nibbles(blocks[:, 48:].reshape(-1, 32)).reshape(-1, 8, 32)
    # Bit g of the 32 bytes is the fifth bit of group g.
    shifts = np.arange(8, dtype=np.uint8).reshape(1, 8, 1)
    high = (blocks[:, None, 16:48] >> shifts) & np.uint8(1)
    return _k_result(blocks, scales, minima, low | (high << np.uint8(4)))


def _k_result(blocks: Bytes, scales: Floats, minima: Floats, values: Bytes) -> Floats:
    scale = (_half(blocks, 0) * scales)[:, :, None]
    minimum = (_half(blocks, 2) * minima)[:, :, None]
    return (scale * values.astype(np.float32) - minimum).reshape(-1, 256)


def _q6_k(blocks: Bytes) -> Floats:
    low = _nibbles(blocks[:, :128].reshape(-1, 64)).reshape(-1, 8, 32)
    shifts = np.array([0, 2, 4, 6], np.uint8).reshape(1, 1, 4, 1)
    high = (blocks[:, 128:192].reshape(-1, 2, 1, 32) >> shifts) & np.uint8(3)
    values = low | (high.reshape(-1, 8, 32) << np.uint8(4))
    scales = blocks[:, 192:208].view(np.int8).astype(np.float32)
    scale = (_half(blocks, 208) * scales)[:, :, None]
    centred = values.astype(np.float32) - np.float32(32)
    return (scale * centred.reshape(-1, 16, 16)).reshape(-1, 256)


BLOCKS: dict[int, BlockType] = {
    0: BlockType("F32", 1, 4, _f32),
    1: BlockType("F16", 1, 2, _f16),
    2: BlockType("Q4_0", 32, 18, _q4_0),
    3: BlockType("Q4_1", 32, 20, _q4_1),
    6: BlockType("Q5_0", 32, 22, _q5_0),
    7: BlockType("Q5_1", 32, 24, _q5_1),
    8: BlockType("Q8_0", 32, 34, _q8_0),
    12: BlockType("Q4_K", 256, 144, _q4_k),
    13: BlockType("Q5_K", 256, 176, _q5_k),
    14: BlockType("Q6_K", 256, 210, _q6_k),
    30: BlockType("BF16", 1, 2, _bf16),
}
