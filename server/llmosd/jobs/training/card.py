"""card.md of a trained version: what it was made from, how, and what is known of it."""

from llmosd.architectures.config import ModelConfig
from llmosd.architectures.families.table import family_of, parameter_count
from llmosd.jobs.specs import TrainSpec
from llmosd.jobs.training.checkpoint import RunState

_ROWS = 12
_LABELS = 50


def card(config: ModelConfig, spec: TrainSpec, run: RunState) -> str:
    """Markdown, for people."""
    lines = [
        f"# {spec.model_id}",
        "",
        (
            f"{config.family}, {parameter_count(config):,} parameters, {config.num_layers} layers, "
            f"context of {config.context_length:,} tokens, vocabulary of {config.vocab_size:,}."
        ),
        *_latent(config, run),
        "",
        f"- License: {spec.license or 'not stated'}",
        f"- Started from: {spec.adapter_name or spec.base or 'random weights'}",
        f"- Data: {spec.dataset_name or 'not named'} {spec.dataset_digest}".rstrip(),
        *_labels(config),
        "",
        "## Recipe",
        "",
        *_recipe(config, spec, run),
        *_privacy(spec, run),
        "",
        "## Evaluations",
        "",
        *_curve(spec, run),
        "",
        *_metrics("Before the training", run.before),
        *_metrics("The result", run.latest),
        *_baseline(run.latest),
        "## Limits",
        "",
        (
            "Judged on the validation rows of its own data alone. What it says about anything "
            "else, and whether it is right, nobody has measured."
        ),
    ]
    return "\n".join(lines) + "\n"


def _privacy(spec: TrainSpec, run: RunState) -> list[str]:
    """What was promised to whoever is in the data."""
    if spec.privacy is None:
        return []
    spent = run.latest.get("epsilon")
    if spent is None:
        return []
    how = spec.privacy
    return [
        f"- Differential privacy of every example: epsilon {spent:.3g} at delta {how.delta:g}",
        f"- Noise {how.noise_multiplier:g}, gradients clipped to {how.max_grad_norm:g}",
    ]


def _latent(config: ModelConfig, run: RunState) -> list[str]:
    """How many numbers stand for a sentence, and how many of them say something."""
    if not config.latent_size:
        return []
    kl, active = (run.latest.get(name) for name in ("kl", "active_units"))
    said = "" if kl is None else f": {kl:.3g} nats of a sentence, {active:.0f} of them active"
    return [f"A latent vector of {config.latent_size} numbers stands for a sentence{said}."]


def _labels(config: ModelConfig) -> list[str]:
    if config.head != "classify":
        return []
    shown = ", ".join(config.labels[:_LABELS])
    rest = len(config.labels) - _LABELS
    return [f"- Labels: {shown}" + (f", and {rest} more" if rest > 0 else "")]


def _baseline(metrics: dict[str, float]) -> list[str]:
    """What the accuracy has to be better than."""
    if "majority_baseline" not in metrics:
        return []
    return [
        (
            "Always guessing the most frequent label is right for "
            f"{metrics['majority_baseline']:.1%} of the validation rows, this model for "
            f"{metrics['accuracy']:.1%}. Macro F1, the mean of the labels' F1, counts rare labels "
            "as much as frequent ones."
        ),
        "",
    ]


def _recipe(config: ModelConfig, spec: TrainSpec, run: RunState) -> list[str]:
    if family_of(config.architecture).closed_form:
        counted = f"{run.tokens:,} tokens in {run.seconds:,.1f} seconds"
        return [f"- Objective: {spec.objective}", f"- Method: counted, {counted}"]
    optimizer, schedule = spec.optimizer, spec.schedule
    method: str = spec.method
    if spec.method == "lora":
        lora = spec.lora
        method = f"LoRA, rank {lora.rank}, alpha {lora.alpha:g}, on {', '.join(lora.targets)}"
    return [
        f"- Objective: {spec.objective}",
        f"- Method: {method}",
        (
            f"- Optimizer: {optimizer.name}, learning rate {optimizer.learning_rate:g}, "
            f"weight decay {optimizer.weight_decay:g}"
        ),
        f"- Schedule: {schedule.name}, warm-up of {schedule.warmup_steps} steps",
        *_kl(spec),
        f"- Batch: {spec.batch_size} x {spec.sequence_length} tokens at most",
        f"- Steps: {run.step:,}, {run.tokens:,} tokens, {run.seconds:,.0f} seconds",
        f"- Arithmetic: {spec.precision}; seed {spec.seed}",
    ]


def _kl(spec: TrainSpec) -> list[str]:
    if spec.objective != "vae":
        return []
    latent = spec.latent
    return [
        (
            f"- KL divergence: weight {latent.kl_weight:g}, {latent.kl_schedule}; free bits "
            f"{latent.free_bits:g}, word dropout {latent.word_dropout:g}, "
            f"{latent.importance_samples} draws for the importance-weighted bound"
        )
    ]


def _curve(spec: TrainSpec, run: RunState) -> list[str]:
    """The watched metric over the steps: at most `_ROWS` of them, the best among these."""
    if not run.evaluated:
        return ["None."]
    stride = -(-len(run.evaluated) // _ROWS)
    last = len(run.evaluated) - 1
    name = spec.early_stopping.metric if spec.early_stopping else "loss"
    rows = [f"| step | {name} |", "| --- | --- |"]
    for at, (step, value) in enumerate(run.evaluated):
        if at % stride == 0 or at == last or step == run.best_step:
            mark = " (best)" if step == run.best_step else ""
            rows.append(f"| {step} | {value:.4g}{mark} |")
    return rows


def _metrics(title: str, metrics: dict[str, float]) -> list[str]:
    if not metrics:
        return []
    return [f"## {title}", "", *(f"- {n}: {v:.6g}" for n, v in sorted(metrics.items())), ""]
