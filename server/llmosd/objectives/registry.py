"""Which class is which objective."""

from llmosd.objectives.distill import Distill
from llmosd.objectives.labelled import Classify, Regress
from llmosd.objectives.likelihood import LanguageModel, MaskedLanguageModel, SupervisedFineTuning
from llmosd.objectives.objective import Build
from llmosd.objectives.preference import Dpo, Kto
from llmosd.objectives.vae import Vae

OBJECTIVES: dict[str, Build] = {
    "language_model": LanguageModel,
    "masked_language_model": MaskedLanguageModel,
    "classify": Classify,
    "regress": Regress,
    "sft": SupervisedFineTuning,
    "dpo": Dpo,
    "kto": Kto,
    "distill": Distill,
    "seqgan": LanguageModel,
    "vae": Vae,
}

REFERENCED = {"dpo", "kto"}
"""Those that compare the network with what it was before."""
SCORED = {"classify": "classify", "regress": "regress"}
"""Those that need another head than the one over the vocabulary; see ModelConfig.head."""
EVERY_TOKEN = {"language_model", "masked_language_model", "seqgan"}
"""Those that ask for prompts too, and may cut long examples."""
