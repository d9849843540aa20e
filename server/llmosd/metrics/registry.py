"""Which class is which metric of texts.

bleu and chrf are in points of 100, as everybody prints them; all others lie between 0 and 1, but
lengths, which are tokens, and entropies, which are nats.
"""

from llmosd.metrics.bleu import Bleu, Chrf, TexygenBleu
from llmosd.metrics.diversity import Distinct, Length, SelfBleu
from llmosd.metrics.final_number import FinalNumber
from llmosd.metrics.matching import F1, ExactMatch
from llmosd.metrics.metric import Build
from llmosd.metrics.rouge import Rouge

METRICS: dict[str, Build] = {
    "bleu": Bleu,
    "chrf": Chrf,
    "rouge": Rouge,
    "exact_match": ExactMatch,
    "f1": F1,
    "final_number": FinalNumber,
    "distinct": Distinct,
    "self_bleu": SelfBleu,
    "length": Length,
    "texygen_bleu": TexygenBleu,
}

REFERENCE_FREE = {"distinct", "self_bleu", "length"}
"""Those that look at hypotheses alone."""
