"""Metrics of a daemon, as Prometheus gets them; the dashboard and the alerts that use them."""

import http.client
import re
import socket
import subprocess
import sys

import pytest

from daemon import DaemonProcess, llmos, wait_for
from factory import tiny_llama_folder
from llmos_client import Client, InvalidFieldError, LlmosError, ModelNotFoundError
from queries import expressions, metrics_in
from scraping import Scrape, UnixConnection, get, scrape

TRAINING = {
    "tokenizer_kind": "character", "shape.num_layers": 1, "shape.hidden_size": 16,
    "shape.num_heads": 1, "shape.context_length": 16, "sequence_length": 16, "batch_size": 2,
    "steps": 100_000, "log_every": 1, "threads": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    folder = tmp_path_factory.mktemp("observed")
    process = DaemonProcess(folder, metrics_listen=f"unix:{folder}/m.sock", keep_alive_seconds=-1)
    process.install("m", tiny_llama_folder(folder / "tiny"))
    process.load("m")
    yield process
    process.stop()


def test_requests_are_counted_once_by_what_they_were(daemon, client):
    """The three histograms; tokens as the answers say; refusals by reason."""
    before = scrape(daemon)
    texts = [client.generate("m", "Once", max_tokens=8, ignore_eos=True) for _ in range(2)]
    chat = client.generate("m", messages=[{"role": "user", "content": "hi"}], max_tokens=1)
    used = [each.usage for each in (*texts, chat)]
    drawn = sum(each.completion_tokens for each in used)
    tokens = {"name": "llmos_tokens_total", "model": "m"}
    wait_for(lambda: more(before, scrape(daemon), **tokens, direction="output") == drawn, 5)
    read = sum(each.prompt_tokens for each in used)
    assert more(before, scrape(daemon), **tokens, direction="input") == read
    client.embed("m", ["a text"])
    with pytest.raises(InvalidFieldError):
        client.generate("m", "x", temperature=-1.0)
    with pytest.raises(LlmosError) as too_long:
        client.generate("m", "x " * 2000)
    after = scrape(daemon)

    def count(name, **labels):
        return more(before, after, name, **labels)

    model, reason = {"gen_ai_request_model": "m"}, too_long.value.reason
    duration = "gen_ai_server_request_duration_seconds_count"
    first = "gen_ai_server_time_to_first_token_seconds_count"
    each = "gen_ai_server_time_per_output_token_seconds_count"
    text = {**model, "gen_ai_operation_name": "text_completion", "gen_ai_provider_name": "llmos"}
    assert count(duration, **text, error_type="") == count(first, **text) == 2
    assert count(each, **text) == 2
    assert count(duration, **model, gen_ai_operation_name="chat") == 1
    assert count(first, **model, gen_ai_operation_name="chat") == 1
    assert count(each, **model, gen_ai_operation_name="chat") == 0  # one token: nothing between
    assert count(duration, **model, gen_ai_operation_name="embeddings", error_type="") == 1
    assert count(duration, **text, error_type=reason) == 1
    assert count("llmos_requests_rejected_total", model="m", reason=reason) == 1
    path = "llmos.v1.GenerationService/Generate"
    assert count("llmos_calls_total", method=path, code="OK") == 3
    assert count("llmos_calls_total", method=path, code="INVALID_ARGUMENT") == 2


def more(before, after, name, **labels):
    """By how much a counter grew."""
    return after.value(name, **labels) - before.value(name, **labels)


def test_what_callers_write_makes_no_series(daemon, client):
    """A name of no model, whatever it is, is no label; nor is a tenant's."""
    for at in range(5):
        with pytest.raises(ModelNotFoundError):
            client.generate(f"stranger-{at}", "x")
        with pytest.raises(ModelNotFoundError):
            client.embed(f"stranger-{at}", ["x"])
    with Client(daemon.address, tenant="team-a") as tenant:
        tenant.generate("m", "Once", max_tokens=1)
    _, _, text = get(UnixConnection(daemon.folder / "m.sock"))
    assert "stranger" not in text
    assert "team-a" not in text
    found = Scrape(text)
    duration = "gen_ai_server_request_duration_seconds_count"
    assert found.value(duration, gen_ai_request_model="", error_type="MODEL_NOT_FOUND") == 10
    assert found.labels(duration, "gen_ai_request_model") == {"", "m"}


def test_counters_outlive_processes_and_end_with_their_model(daemon, client):
    """Unloading takes nothing back; removing a model removes its series."""
    daemon.install("n", daemon.folder / "tiny")
    daemon.load("n")
    client.generate("n", "Once", max_tokens=4, ignore_eos=True)
    client.unload_model("n")
    gone = scrape(daemon)
    assert gone.value("llmos_tokens_total", model="n", direction="output") == 4
    assert "n" not in gone.labels("llmos_model_state", "model")
    daemon.load("n")
    client.generate("n", "Once", max_tokens=4, ignore_eos=True)
    wait_for(
        lambda: scrape(daemon).value("llmos_tokens_total", model="n", direction="output") == 8, 5
    )
    client.delete_model("n", force=True)
    after = scrape(daemon)
    assert "n" not in after.labels("llmos_tokens_total", "model")
    duration = "gen_ai_server_request_duration_seconds_count"
    assert "n" not in after.labels(duration, "gen_ai_request_model")
    assert after.value("llmos_operations_total", kind="load-model", outcome="succeeded") >= 3


def test_a_training_shows_its_loss(daemon, client):
    """While it runs, and no longer; `llmos top` has it, too."""
    file = daemon.folder / "words.txt"
    file.write_text("the cat sat on the mat " * 200)
    client.wait_operation(client.upload_dataset("words", [file], kind="text")).result()
    job = client.train_model("t", "words", family="gpt2", settings=TRAINING).name
    name = job.removeprefix("operations/")
    wait_for(
        lambda: scrape(daemon).value("llmos_train_step", job=name) > 2, 40, daemon.log.read_text
    )
    during = scrape(daemon)
    assert 0 < during.value("llmos_train_loss", job=name) < 10
    assert during.value("llmos_operations_open", kind="train-model", phase="running") == 1
    assert during.value("llmos_process_resident_bytes", kind="job") > 50e6
    shown = llmos(daemon.address, "top", "--once").stdout
    assert "used by llmos" in shown
    assert re.search(rf"{name} +train-model", shown)
    client.cancel_operation(job)
    wait_for(
        lambda: scrape(daemon).value(
            "llmos_operations_total", kind="train-model", outcome="cancelled"
        ),
        20,
    )
    assert scrape(daemon).labels("llmos_train_loss", "job") == set()
    assert "train-model" not in llmos(daemon.address, "top", "--once").stdout


def test_the_endpoint_keeps_its_ground(daemon):
    """Other paths and methods are refused; who dawdles takes a place, and holds nobody up."""
    path = daemon.folder / "m.sock"
    assert path.stat().st_mode & 0o777 == 0o660
    assert get(UnixConnection(path), "/")[0] == 404
    assert get(UnixConnection(path), "/metrics", "POST")[0] == 501
    status, headers, body = get(UnixConnection(path), method="HEAD")
    assert (status, body) == (200, "")
    assert int(headers["Content-Length"]) > 1000
    openmetrics = "application/openmetrics-text; version=1.0.0"
    assert get(UnixConnection(path), Accept=openmetrics)[2].endswith("# EOF\n")
    idle = [socket.socket(socket.AF_UNIX) for _ in range(8)]
    for each in idle[:7]:
        each.connect(str(path))
        each.send(b"GET /metrics HT")
    assert scrape(daemon).families  # one place is left
    idle[7].connect(str(path))
    idle[7].send(b"GET")
    with socket.socket(socket.AF_UNIX) as late:
        late.settimeout(20)
        late.connect(str(path))
        assert late.recv(100) == b""
    with daemon.client() as client:
        assert client.health() == "serving"
    for each in idle:
        each.close()
    wait_for(lambda: can_scrape(path), 10)


def can_scrape(path):
    try:
        return get(UnixConnection(path))[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def test_without_the_endpoint(daemon, client, tmp_path):
    """GetMetrics has the same metrics; a file for node_exporter has all but process_*."""
    known = scrape(daemon).names()
    assert Scrape(client.metrics()).names() == known
    client.count_tokens("m", "what comes after it")
    daemon.logged(method="/llmos.v1.GenerationService/CountTokens")
    # Neither log is filled by who looks every fifteen seconds.
    written = daemon.log.read_text() + (daemon.folder / "state/audit.jsonl").read_text()
    assert "GetMetrics" not in written
    out = tmp_path / "llmos.prom"
    assert llmos(daemon.address, "metrics", "--out", str(out)).returncode == 0
    assert Scrape(out.read_text()).names() == {n for n in known if not n.startswith("process_")}
    assert out.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in tmp_path.iterdir()] == ["llmos.prom"]


def test_every_metric_of_dashboard_and_alerts_is_there(daemon, client):
    """With the labels they are asked by; and every metric of ours is on the dashboard."""
    client.generate("m", "Once", max_tokens=2)
    with pytest.raises(ModelNotFoundError):
        client.generate("stranger", "x")
    found = scrape(daemon)
    names, asked, wrong = found.names(), set(), []
    for where, query in expressions():
        for name, labels in metrics_in(query):
            asked.add(name.removesuffix("_bucket").removesuffix("_count"))
            samples = [sample for sample in found.samples if sample.name == name]
            missing = labels - set(samples[0].labels) if samples else set()
            if name not in names or missing:
                wrong.append((where, name, missing))
    assert wrong == []
    assert len(asked) > 25
    ours = {n for n, family in found.families.items() if not n.startswith("process_")}
    shown = {name.removesuffix("_total") for name in asked}
    # Without a panel: what has one as a share of itself.
    assert {n.removesuffix("_info") for n in ours} - {n.removesuffix("_info") for n in shown} <= {
        "llmos_memory_total_bytes"
    }


def test_prompts_are_not_logged(daemon, client):
    """Not a word, unless somebody asked for it: see test_administration.py."""
    client.generate("m", "a secret of mine", max_tokens=4)
    last = client.count_tokens("m", "a secret of mine")
    daemon.logged(method="/llmos.v1.GenerationService/CountTokens")
    assert last.tokens > 4
    assert "secret of mine" not in daemon.log.read_text()


def test_an_address_that_is_taken(daemon, tmp_path):
    """Status 75, and what is there goes on."""
    command = [sys.executable, "-m", "llmosd", "--state-dir", str(tmp_path), "--listen"]
    command += [f"unix:{tmp_path}/s.sock"]
    done = subprocess.run(
        command, capture_output=True, text=True,
        env={"PATH": "", "LLMOSD_METRICS_LISTEN": f"unix:{daemon.folder}/m.sock"},
    )  # fmt: skip
    assert done.returncode == 75
    assert "m.sock" in done.stderr
    assert scrape(daemon).families
