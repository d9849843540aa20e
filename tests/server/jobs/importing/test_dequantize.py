import gguf
import numpy as np
import pytest

from llmosd.jobs.importing.dequantize import BLOCKS, dequantize


@pytest.mark.parametrize("kind", BLOCKS, ids=[block.name for block in BLOCKS.values()])
def test_bit_equal_to_ggml_on_random_blocks(kind):
    block = BLOCKS[kind]
    oracle = gguf.GGMLQuantizationType(kind)
    assert oracle.name == block.name
    assert gguf.GGML_QUANT_SIZES[oracle] == (block.elements, block.bytes)
    rng = np.random.default_rng(kind)
    data = rng.integers(0, 256, (1000, block.bytes), np.uint8)
    with np.errstate(all="ignore"):
        expected = gguf.dequantize(data, oracle).reshape(-1)
    got = dequantize(data.tobytes(), kind)
    assert got.dtype == np.float32
    # Any NaN is as good as another.
    same = (got.view(np.uint32) == expected.view(np.uint32)) | (np.isnan(got) & np.isnan(expected))
    assert same.all()
    assert np.isfinite(expected).any()
