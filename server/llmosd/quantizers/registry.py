"""The formats by the name `llmos load --dtype` takes."""

from llmosd.quantizers.int4 import Int4
from llmosd.quantizers.int8 import Int8
from llmosd.quantizers.quantizer import Quantizer

QUANTIZERS: dict[str, Quantizer] = {"int8": Int8(), "int4": Int4()}
