"""The variational autoencoder: as the formulas say, and served as it was trained."""

import math

import msgspec
import numpy as np
import pytest
import torch

from llmos_kernels import reference
from llmosd.architectures.families.table import expected_shapes, family_of
from llmosd.architectures.torch_ops import TorchOps
from llmosd.architectures.trainable.registry import from_scratch
from llmosd.engine.recurrent_state import RecurrentState
from llmosd.engine.runner import Runner
from llmosd.engine.sequence import Sequence
from llmosd.engine.slices import Slice
from llmosd.ipc.messages import HIGH, LOW, Submit
from llmosd.objectives.cross_entropy import cross_entropy
from tiny_prompts import (
    GREEDY,
    PROMPTS,
    START,
    batch,
    examples,
    finish,
    serve,
    submits,
    wide_network,
    words,
)
from tiny_training import tiny_config

LATENT = 5
SHAPES = {
    "one layer": {"encoder_layers": 1, "num_layers": 1},
    "deep": {"encoder_layers": 2, "num_layers": 3, "tie_embeddings": False},
    # Mean and log-variance need more than one vector of hidden_size.
    "wide latent": {"encoder_layers": 1, "num_layers": 2, "latent_size": 21},
}


@pytest.fixture(params=SHAPES)
def network(request):
    """With weights wide enough that the latent vector matters."""
    config = tiny_config("vae", start_id=START, **({"latent_size": LATENT} | SHAPES[request.param]))
    return wide_network(config, 3)


def test_shapes(network):
    """The store's names and shapes are the network's."""
    found = {name: tuple(each.shape) for name, each in network.state_dict().items()}
    assert found == expected_shapes(network.config)


def test_as_the_formulas_say(network):
    """NumPy, in float64, one example after the other: around the mean, and around draws."""
    ids, lengths = batch()
    size = network.config.latent_size
    noise = torch.randn(len(lengths), 2, size, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        hidden = network(ids, lengths)
        posterior, draws, drawn = network.variational(ids, lengths, noise)
    parts = [each.split(lengths) for each in (hidden, *drawn)]
    for at, (sentence, answer) in enumerate(examples()):
        mean, log_variance = posterior_by_formula(network, sentence)
        np.testing.assert_allclose(posterior.mean[at], mean, atol=1e-5)
        np.testing.assert_allclose(posterior.log_variance[at], log_variance, atol=1e-5)
        latents = [mean, *(mean + np.exp(log_variance / 2) * own for own in noise[at].numpy())]
        for part, z in zip(parts, latents, strict=True):
            wanted = decoded_by_formula(network, z, answer)
            np.testing.assert_allclose(part[at][len(sentence) - 1 :], wanted, atol=2e-5)
            assert not part[at][: len(sentence) - 1].any()
        np.testing.assert_allclose(draws[:, at], latents[1:], atol=1e-5)


def test_the_draw_can_be_differentiated():
    """Gradients through the draw, in float64: finite differences of a function of it."""
    from llmosd.architectures.trainable.vae import Posterior

    generator = torch.Generator().manual_seed(0)
    mean, log_variance, noise = torch.randn(3, 2, 4, generator=generator, dtype=torch.float64)
    mean.requires_grad_()
    log_variance.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda *given: Posterior(*given).draw(noise).sin().prod(), (mean, log_variance)
    )


def test_gradients(network):
    """All together, they are the sum of the examples', and every weight has one."""
    ids, lengths = batch()
    noise = torch.randn(len(lengths), 1, network.config.latent_size)

    def loss(part, sizes, own):
        return (network.variational(part, sizes, own)[2][0] @ network.head.T).square().sum()

    loss(ids, lengths, noise).backward()
    packed = {name: each.grad.clone() for name, each in network.named_parameters()}
    network.zero_grad()
    for at, part in enumerate(ids.split(lengths)):
        loss(part, (len(part),), noise[at : at + 1]).backward()
    for name, each in network.named_parameters():
        scale = float(each.grad.abs().max())
        torch.testing.assert_close(packed[name], each.grad, atol=2e-4 * scale, rtol=1e-3)
        assert scale > 0, name


def test_first_loss():
    """Before it has learned, all words are about as likely: ln V."""
    config = tiny_config(
        "vae", start_id=START, vocab_size=5000, hidden_size=128, latent_size=32, encoder_layers=1
    )
    network = from_scratch(config, 0)
    ids, lengths = batch()
    hidden = network(ids, lengths)
    hidden = hidden[hidden.any(1)]
    loss = cross_entropy(hidden, network.head, words(len(hidden), 5)).loss / len(hidden)
    assert float(loss.detach()) == pytest.approx(math.log(5000), abs=0.1)


def prior(at, seed, *, answers=1, **more):
    """A request without a prompt."""
    spec = msgspec.structs.replace(GREEDY, seed=seed)
    return Submit(at, [START], answers, 12, 0, [], spec, 0, **more)


def check_greedy(scores, found):
    """Each token is the likeliest by scores (tokens, words), whose log-probability it has."""
    wanted = torch.log_softmax(torch.as_tensor(scores).double(), 1)
    assert [token for token, _ in found] == wanted.argmax(1).tolist()
    best = wanted.max(1).values.tolist()
    assert [logprob for _, logprob in found] == pytest.approx(best, abs=1e-4)


def scores_by_formula(network, z, found):
    """Of each token of an answer, around a latent vector."""
    said = torch.tensor([token for token, _ in found[:-1]], dtype=torch.int64)
    return decoded_by_formula(network, z, said) @ network.head.detach().double().numpy().T


def test_reconstructions_are_those_of_the_trained_network(network, tmp_path):
    """Greedy, side by side, token by token."""
    found = finish(serve(network, tmp_path / "version", blocks=8), submits())
    for at, (sentence, _) in enumerate(examples()):
        answer = found[at, 0]
        mean = posterior_by_formula(network, sentence)[0]
        check_greedy(scores_by_formula(network, mean, answer), answer)
        ids = torch.tensor([*sentence.tolist(), *(token for token, _ in answer[:-1])])
        with torch.no_grad():
            hidden = network(ids, (len(ids),))[len(sentence) - 1 :]
            check_greedy(hidden @ network.head.T, answer)


def test_both_arithmetics(network):
    """The same network in torch's operations: the trained one's log-probabilities."""
    config, cpu = network.config, torch.device("cpu")
    served = family_of("vae").load_network()(
        config, network.state_dict().__getitem__, TorchOps(cpu, torch.float32)
    )
    runner = Runner(served, RecurrentState(config, 4, cpu), cpu, 8)
    sequences = []
    for slot, submit in enumerate(submits()):
        sequences.append(Sequence(submit, 0, list(submit.prompt), None))
        sequences[-1].blocks = [slot]
    for _ in range(8):
        counts = [sequence.num_pending for sequence in sequences]
        slices = [Slice(s, n, True, []) for s, n in zip(sequences, counts, strict=True)]
        logits = runner.run(slices)
        for sequence, count, scores in zip(sequences, counts, logits, strict=True):
            ids = sequence.tokens
            with torch.no_grad():
                hidden = network(torch.tensor(ids), (len(ids),))[-1]
                wanted = network.head @ hidden
            torch.testing.assert_close(scores, wanted, atol=1e-4, rtol=1e-4)
            sequence.computed += count
            sequence.append(int(scores.argmax()))
    assert len({tuple(sequence.tokens[-8:]) for sequence in sequences}) > 1


def test_the_sentence_matters(network, tmp_path):
    """The control of the above: answers differ from sentence to sentence."""
    found = finish(serve(network, tmp_path / "version", blocks=8), submits())
    assert len({tuple(answer) for answer in found.values()}) == len(PROMPTS)


def test_company_changes_nothing(network, tmp_path):
    """Alone, together, in answers of several, and where states are few: the same bits."""

    def everything():
        yield from submits(answers=3, temperature=1.0)
        yield prior(10, 5, answers=3)

    engine = serve(network, tmp_path / "version", blocks=8)
    alone = {}
    for submit in everything():
        alone |= finish(engine, [submit])
    assert finish(engine, everything()) == alone
    few = serve(network, tmp_path / "version", blocks=2)
    assert finish(few, everything()) == alone


def test_preemption_changes_nothing(network, tmp_path):
    """Put aside for higher requests and computed again, with the same latent vector."""

    def low():
        yield prior(10, 5, answers=2, priority=LOW)
        yield next(submits(priority=LOW))
        yield Submit(11, [START], 1, 12, 0, [], GREEDY, 0, priority=LOW,
                     latents=[[0.5] * network.config.latent_size])  # fmt: skip

    engine = serve(network, tmp_path / "version", blocks=4)
    calm = finish(engine, low())
    for submit in low():
        engine.submit(submit)
    found = {}
    for step in range(100):
        if step == 4:
            for submit in submits(priority=HIGH):
                engine.submit(msgspec.structs.replace(submit, id=submit.id + 100))
        for out in engine.step().tokens:
            found.setdefault((out.id, out.choice), []).append((out.token, out.logprob))
        if not engine.has_work:
            break
    assert engine.stats.preemptions >= 4
    assert {key: answer for key, answer in found.items() if key in calm} == calm


def test_bfloat16(network, tmp_path):
    """Rounded weights: the same in any company, and near the unrounded ones."""
    engine = serve(network, tmp_path / "version", blocks=8, dtype="bfloat16")
    alone = {}
    for submit in submits(temperature=1.0):
        alone |= finish(engine, [submit])
    assert finish(engine, submits(temperature=1.0)) == alone
    for at, (sentence, _) in enumerate(examples()):
        mean = posterior_by_formula(network, sentence)[0]
        own = msgspec.structs.replace(next(submits()), id=at, prompt=sentence.tolist())
        np.testing.assert_allclose(encoded(engine, [own])[at][: len(mean)], mean, atol=0.05)


def test_without_a_prompt_the_seed_says_all(network, tmp_path):
    """Around a draw of the prior: one for each seed and answer, and the one that is documented."""
    engine = serve(network, tmp_path / "version", blocks=8)
    found = finish(engine, [prior(0, 5, answers=2), prior(1, 6), prior(2, 5)])
    assert found[2, 0] == found[0, 0]
    assert len({tuple(found[key]) for key in [(0, 0), (0, 1), (1, 0)]}) == 3
    size = network.config.latent_size
    for (seed, choice), key in {(5, 0): (0, 0), (5, 1): (0, 1), (6, 0): (1, 0)}.items():
        z = reference.normals(seed, choice, size)
        check_greedy(scores_by_formula(network, z, found[key]), found[key])
    given = [reference.normals(5, 1, size).astype(np.float32).tolist()]
    given = msgspec.structs.replace(prior(3, 99), latents=given)
    assert finish(engine, [given])[3, 0] == found[0, 1]


def encoded(engine, submitted):
    found = {}
    for submit in submitted:
        engine.submit(msgspec.structs.replace(submit, task="encode", max_tokens=0))
    while engine.has_work:
        step = engine.step()
        assert not [out for out in step.tokens if out.id < 50]
        found |= {each.id: each.logprobs for each in step.scored if each.done}
    return found


def test_the_engine_tells_the_posterior(network, tmp_path):
    """Mean and log-variance, to the bit in any company; and the mean makes the same answer."""
    engine = serve(network, tmp_path / "version", blocks=8)
    found = {}
    for submit in submits():
        found |= encoded(engine, [submit])
    engine.submit(prior(50, 1))
    assert encoded(engine, submits()) == found
    answers, size = finish(engine, submits()), network.config.latent_size
    for at, (sentence, _) in enumerate(examples()):
        wanted = np.concatenate(posterior_by_formula(network, sentence))
        np.testing.assert_allclose(found[at], wanted, atol=1e-4)
        given = Submit(at, [START], 1, 20, 0, [], GREEDY, 0, latents=[found[at][:size]])
        assert finish(engine, [given])[at, 0] == answers[at, 0]


def run_by_formula(weights, prefix, rows, hidden, cell):
    out = []
    for row in rows:
        inputs, states = (
            weights[f"{prefix}.weight_{part}_l0"] @ x + weights[f"{prefix}.bias_{part}_l0"]
            for part, x in (("ih", row), ("hh", hidden))
        )
        hidden, cell = reference.lstm_cell(inputs, states, cell)
        out.append(hidden)
    return np.array(out), hidden


def weights_of(network):
    return {name: each.double().numpy() for name, each in network.state_dict().items()}


def posterior_by_formula(network, sentence):
    """Mean and log-variance (latent_size,) of a sentence with the token that ends it."""
    weights, config = weights_of(network), network.config
    x, half = weights["embed_tokens.weight"][sentence.numpy()], np.zeros(config.hidden_size // 2)
    for index in range(config.encoder_layers):
        prefix = f"encoder.layers.{index}"
        left, one = run_by_formula(weights, f"{prefix}.ahead", x, half, half)
        right, two = run_by_formula(weights, f"{prefix}.back", x[::-1], half, half)
        x, ends = np.concatenate([left, right[::-1]], 1), np.concatenate([one, two])
    return tuple(
        weights[f"encoder.{name}.weight"] @ ends + weights[f"encoder.{name}.bias"]
        for name in ("mean", "log_variance")
    )


def decoded_by_formula(network, z, answer):
    """(1 + answer, hidden) of the decoder around a latent vector."""
    weights, config = weights_of(network), network.config
    first = weights["decoder.initial.weight"] @ z + weights["decoder.initial.bias"]
    states = first.reshape(config.num_layers, 2, config.hidden_size)
    read = np.concatenate([[START], answer.numpy()])
    x = weights["embed_tokens.weight"][read] + weights["decoder.latent.weight"] @ z
    for index, (hidden, cell) in enumerate(states):
        x, _ = run_by_formula(weights, f"decoder.layers.{index}.rnn", x, hidden, cell)
    return x
