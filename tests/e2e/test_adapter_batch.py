"""Adapters in the process of their base: one batch, one cache, and lives of their own."""

import asyncio
import os
import signal

import numpy as np
import peft
import pytest
import torch
import transformers

from daemon import wait_for
from factory import tiny_llama_folder
from llmos_client import (
    AsyncClient,
    EngineLostError,
    LlmosError,
    ModelInUseError,
    ModelNotLoadedError,
)
from llmos_client.fetch.folder import find_model_files
from promotions import Crowd, own_answers, state, version

PROMPT = [5, 17, 200, 33, 8, 91]
# Longer than two blocks of the cache.
LONG = [(7 * at + 3) % 200 for at in range(40)]
ADAPTERS = {"poet": (["q_proj", "v_proj"], 4), "clerk": (["o_proj", "gate_proj", "down_proj"], 6)}

# peft 0.21 asks transformers 5.24 by an older name.
pytestmark = pytest.mark.filterwarnings("ignore:.*is deprecated.*:FutureWarning")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return tiny_llama_folder(
        tmp_path_factory.mktemp("base") / "tiny", num_hidden_layers=3, max_position_embeddings=4096
    )


@pytest.fixture(scope="module")
def oracles(source, tmp_path_factory):
    """peft's models by name, "" being the base; and the adapters' folders."""
    made, folders = {}, {}
    for seed, name in enumerate(["", *ADAPTERS]):
        model = transformers.AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
        if name:
            targets, rank = ADAPTERS[name]
            config = peft.LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=targets)
            torch.manual_seed(seed)
            model = peft.get_peft_model(model, config)
            for part, each in model.named_parameters():
                if "lora_B" in part:
                    each.data.normal_(0, 0.3)
            folders[name] = tmp_path_factory.mktemp("peft") / name
            model.save_pretrained(folders[name])
        made[name] = model.eval()
    return made, folders


@pytest.fixture
def served(new_daemon, source, oracles):
    """A daemon with the base and both adapters installed; nothing is loaded."""
    daemon = new_daemon(keep_alive_seconds=-1)
    daemon.install("base", source)
    with daemon.client() as client:
        for name, folder in oracles[1].items():
            again = client.upload_model(name, find_model_files(folder).paths, base="base")
            client.wait_operation(again).result()
    return daemon


@torch.inference_mode()
def expected(oracle, prompt, count=16):
    made = oracle.generate(
        input_ids=torch.tensor([prompt]), max_new_tokens=count, do_sample=False, eos_token_id=None
    )
    return made[0, len(prompt) :].tolist()


def said(client, name, prompt=PROMPT, **options):
    options = {"max_tokens": 16, "temperature": 0.0, "ignore_eos": True} | options
    return [
        token.id
        for token in client.generate(name, tokens=prompt, logprobs=0, **options).choices[0].tokens
    ]


def standing(daemon, name):
    return str(daemon.residency(name).state)


def test_one_batch(served, oracles):
    """What each says in one batch with the others is what peft says, and what it says alone."""
    with served.client() as client:
        for name in ("base", *ADAPTERS):
            client.load_model(name).result()
        homes = [served.residency(name) for name in ("base", *ADAPTERS)]
        assert len({home.pid for home in homes}) == 1
        assert [home.host for home in homes] == ["", *["models/base/versions/1"] * 2]
        answers = [expected(oracles[0][name], LONG) for name in ("", *ADAPTERS)]
        assert len({tuple(answer) for answer in answers}) == 3
        # One after the other: what the base left in the cache is not an adapter's.
        for name, answer in zip(("base", *ADAPTERS), answers, strict=True):
            assert said(client, name, LONG) == answer

    drawn = {"temperature": 1.5, "max_tokens": 60}
    with served.client() as client:
        alone = {
            (name, seed): said(client, name, seed=seed, **drawn)
            for name in ("base", *ADAPTERS) for seed in range(8)
        }  # fmt: skip

    async def together():
        async with AsyncClient(served.address) as client:
            options = {"tokens": PROMPT, "logprobs": 0, "ignore_eos": True, **drawn}
            calls = [client.generate(name, seed=seed, **options) for name, seed in alone]
            return await asyncio.gather(*calls)

    for answer, wanted in zip(asyncio.run(together()), alone.values(), strict=True):
        assert [token.id for token in answer.choices[0].tokens] == wanted
    counters = served.residency("base").counters
    assert counters.steps < 24 * 60 + 24 * 70  # 24 alone, and together in far fewer


@pytest.mark.parametrize("dtype", ["bfloat16", "int8"])
def test_other_types(served, dtype):
    """What the merged version says, but for roundings: those of all its weights, in few bits."""
    with served.client() as client:
        client.load_model("base", dtype=dtype).result()
        client.load_model("poet").result()
        assert served.residency("poet").dtype == dtype
        assert served.residency("poet").host
        client.wait_operation(client.merge_adapter("poet", output="merged")).result()
        client.load_model("merged", dtype=dtype).result()
        assert not served.residency("merged").host
        found = {
            name: np.array([each.logprob for each in client.score(name, tokens=LONG).tokens[1:]])
            for name in ("poet", "merged", "base")
        }
        off, adapted = (np.abs(found["poet"] - found[n]).mean() for n in ("merged", "base"))
        assert off < (0.15 if dtype == "int8" else 0.02) * adapted


def test_alone_and_last(served):
    """Its base comes with it, and goes with the last one, unless somebody wants it."""
    with served.client() as client:
        before = client.server_info().resident_bytes
        both = client.load_model("poet", validate_only=True).result().estimated_bytes
        client.load_model("poet").result()
        alone = client.load_model("clerk", validate_only=True).result().estimated_bytes
        assert alone < 1e6
        assert both > 4e8
        client.load_model("clerk").result()
        assert standing(served, "base") == "loaded"
        with pytest.raises(ModelInUseError, match="poet"):
            client.unload_model("base").result()
        client.unload_model("clerk").result()
        assert standing(served, "base") == "loaded"
        pid = served.residency("base").pid
        client.unload_model("poet").result()
        assert standing(served, "base") == "unloaded"
        assert not os.path.exists(f"/proc/{pid}")
        assert client.server_info().resident_bytes < before + 30e6

        client.load_model("poet").result()
        client.load_model("base").result()
        client.unload_model("poet").result()
        assert standing(served, "base") == "loaded"
        with pytest.raises(ModelNotLoadedError):
            said(client, "poet")
        client.unload_model("base").result()


def test_another_type_has_a_process_of_its_own(served, oracles):
    """Merged, as the base is loaded as something else."""
    with served.client() as client:
        client.load_model("base", dtype="int8").result()
        client.load_model("poet", dtype="float32").result()
        home = served.residency("poet")
        assert (home.dtype, home.host) == ("float32", "")
        assert home.pid != served.residency("base").pid
        assert said(client, "poet") == expected(oracles[0]["poet"], PROMPT)


def test_a_lost_process_comes_back_with_all(served, oracles):
    """Killed while both answer: they hear of it, and both serve again, in one process."""

    async def run():
        async with AsyncClient(served.address) as client:
            options = {"tokens": PROMPT, "max_tokens": 2000, "ignore_eos": True, "temperature": 0.0}
            calls = [asyncio.create_task(client.generate(n, **options)) for n in ("base", "poet")]
            await asyncio.sleep(0.3)
            os.kill(served.residency("base").pid, signal.SIGKILL)
            return await asyncio.gather(*calls, return_exceptions=True)

    with served.client() as client:
        for name in ("base", "poet"):
            client.load_model(name).result()
        lost = served.residency("base").pid
        for error in asyncio.run(run()):
            assert isinstance(error, EngineLostError)
        wait_for(lambda: standing(served, "poet") == standing(served, "base") == "loaded", 30)
        homes = [served.residency(name) for name in ("base", "poet")]
        assert homes[0].pid == homes[1].pid != lost
        assert homes[1].host
        for name, oracle in (("base", ""), ("poet", "poet")):
            assert said(client, name) == expected(oracles[0][oracle], PROMPT)


def test_unloaded_while_it_answers(served):
    """By force: its requests are told so, and others' do not notice."""

    async def run(client):
        options = {"tokens": PROMPT, "ignore_eos": True, "temperature": 0.0, "logprobs": 0}
        own = asyncio.create_task(client.generate("poet", max_tokens=2000, **options))
        other = asyncio.create_task(client.generate("base", max_tokens=400, **options))
        await asyncio.sleep(0.3)
        await client.unload_model("poet", force=True)
        with pytest.raises(LlmosError, match="unloaded"):
            await own
        return [token.id for token in (await other).choices[0].tokens]

    async def session():
        async with AsyncClient(served.address) as client:
            return await run(client)

    with served.client() as client:
        for name in ("base", "poet"):
            client.load_model(name).result()
        wanted = said(client, "base", max_tokens=400)
        assert asyncio.run(session()) == wanted
        client.load_model("poet").result()
        assert said(client, "poet") != said(client, "base")


def test_back_after_a_restart(served, oracles):
    """A daemon that comes back serves it on its first request, beside its base."""
    with served.client() as client:
        client.load_model("poet").result()
    served.stop()
    served.start()
    with served.client() as client:
        assert standing(served, "poet") == "idle"
        assert said(client, "poet") == expected(oracles[0]["poet"], PROMPT)
        assert served.residency("poet").host
        assert standing(served, "base") == "loaded"


def test_promoted_under_streams(served, oracles):
    """It takes over from its own base, which stays for its sake alone; and gives it back."""
    files = find_model_files(oracles[1]["poet"]).paths
    with served.client() as client:
        sent = client.upload_model("base", files, base="base", alias="candidate")
        client.wait_operation(sent).result()
        client.delete_alias("base", "candidate")
        client.load_model("base").result()
        own = own_answers(served, "base")
        with Crowd(served, "base", 8) as crowd:
            for number in (2, 1, 2):
                move_to(client, crowd, number)
        assert not crowd.failures
        assert {who for who, *_ in crowd.answers} == {version("base", 1), version("base", 2)}
        assert all(tokens == own[who, at] for who, at, tokens in crowd.answers)
        home = client.get_version(version("base", 2)).residency
        assert home.host == version("base", 1)
        client.unload_model("base").result()
        wait_for(lambda: str(state(client, "base", 1)) == "unloaded", 20)
        # With its adapters: they leave the process before it ends.
        for name in ADAPTERS:
            client.delete_model(name)
        client.load_model(version("base", 2)).result()
        client.load_model(version("base", 1)).result()
        client.delete_model("base", force=True)
        assert client.server_info().models_loaded == 0


def move_to(client, crowd, number):
    """Promote the adapter, or roll it back; wait until it answers, or has left memory."""
    before = len(crowd.answers)
    if number == 2:
        client.promote(version("base", 2)).result()
    else:
        client.roll_back("base").result()
    now, home = version("base", number), "loaded" if number == 2 else "unloaded"
    wait_for(lambda: now in [who for who, *_ in crowd.answers[before:]], 20)
    wait_for(lambda: str(state(client, "base", 2)) == home, 20)
    assert str(state(client, "base", 1)) == "loaded"


def test_an_unload_that_is_cancelled(served):
    """While a request ends: the adapter is gone all the same, and nothing keeps its base."""

    async def run():
        async with AsyncClient(served.address) as client:
            options = {"tokens": PROMPT, "ignore_eos": True, "max_tokens": 4000}
            own = asyncio.create_task(client.generate("poet", **options))
            await asyncio.sleep(0.3)
            leaving = await client.unload_model("poet", wait=False)
            await client.cancel_operation(leaving.name)
            with pytest.raises(LlmosError, match="unloaded"):
                await own

    with served.client() as client:
        for name in ("base", "poet"):
            client.load_model(name).result()
        asyncio.run(run())
        wait_for(lambda: standing(served, "poet") == "unloaded", 20)
        client.unload_model("base").result()
        assert client.server_info().models_loaded == 0
