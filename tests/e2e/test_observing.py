"""A daemon as its administrator sees it: metrics, traces, the log, doctor, a verdict."""

import http.client
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml

from collector import Collector, attributes_of
from daemon import DaemonProcess, wait_for
from e2e_access import make_certificates
from factory import tiny_llama_folder
from llmos_client import (
    Client,
    InvalidFieldError,
    LlmosError,
    ModelNotFoundError,
    NotAuthorizedError,
    trace_context,
)
from scraping import Scrape, UnixConnection, get

MONITORING = Path(__file__).parents[2] / "monitoring"
PROMTOOL = shutil.which("promtool")
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRAINING = {
    "tokenizer_kind": "character", "shape.num_layers": 1, "shape.hidden_size": 16,
    "shape.num_heads": 1, "shape.context_length": 16, "sequence_length": 16, "batch_size": 2,
    "steps": 100_000, "log_every": 1, "threads": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def collector(tmp_path_factory):
    with Collector(f"unix:{tmp_path_factory.mktemp('otlp')}/c.sock") as running:
        yield running


class Manager:
    """Who listens to the daemon as systemd does."""

    def __init__(self, path):
        self.path = str(path)
        self.said = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self):
        while message := self._socket.recv(4096):
            self.said.append(message.decode())

    def close(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self.path)
        self._thread.join()
        self._socket.close()


@pytest.fixture(scope="module")
def manager(tmp_path_factory):
    listening = Manager(tmp_path_factory.mktemp("notify") / "s")
    yield listening
    listening.close()


@pytest.fixture(scope="module")
def daemon(tmp_path_factory, collector, manager):
    folder = tmp_path_factory.mktemp("observed")
    make_certificates(folder / "certs", ["localhost"], "web-1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NOTIFY_SOCKET", manager.path)
        patch.setenv("WATCHDOG_USEC", "30000000")
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        process = DaemonProcess(
            folder,
            metrics_listen=f"unix:{folder}/m.sock",
            otlp_endpoint=collector.address,
            tcp_listen="127.0.0.1:0",
            tls_cert=folder / "certs" / "server.pem",
            tls_key=folder / "certs" / "server-key.pem",
            keep_alive_seconds=-1,
        )
    process.install("m", tiny_llama_folder(folder / "tiny"))
    process.load("m")
    yield process
    process.stop()


@pytest.fixture
def client(daemon):
    with daemon.client() as connected:
        yield connected


def scrape(daemon):
    status, headers, text = get(UnixConnection(daemon.folder / "m.sock"))
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return Scrape(text)


def llmos(address, *arguments):
    code = "from llmos_client.cli.main import main; main()"
    command = [sys.executable, "-c", code, *arguments, "--address", address]
    return subprocess.run(command, capture_output=True, text=True)


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
    out = tmp_path / "llmos.prom"
    assert llmos(daemon.address, "metrics", "--out", str(out)).returncode == 0
    assert Scrape(out.read_text()).names() == {n for n in known if not n.startswith("process_")}
    assert out.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in tmp_path.iterdir()] == ["llmos.prom"]


def expressions():
    """(where, query) of every panel, variable and alert."""
    board = json.loads((MONITORING / "grafana/llmos.json").read_text())
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["query"]["query"]
    rules = yaml.safe_load((MONITORING / "prometheus/llmos.rules.yaml").read_text())
    for rule in rules["groups"][0]["rules"]:
        yield rule["alert"], rule["expr"]


def metrics_in(query):
    """Names of metrics, and their label names where a selector has some."""
    names = re.findall(r"\b((?:llmos|gen_ai_server|process)_[a-z_]+)\b(?:\{([^}]*)\})?", query)
    for name, selector in names:
        yield name, set(re.findall(r"(\w+)(?==~|!=|=)", selector)) - {"job", "instance"}


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


def test_the_names_test_can_fail():
    """The control: a metric and a label that are not there are seen."""
    found = dict(metrics_in('rate(llmos_nonsense_total{model="a",colour=~"b"}[5m]) / llmos_x'))
    assert found == {"llmos_nonsense_total": {"model", "colour"}, "llmos_x": set()}


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian: prometheus)")
def test_alerts_fire_when_they_should(tmp_path):
    """The rules' own unit tests; and every query of the dashboard is PromQL."""
    folder = MONITORING / "prometheus"
    done = subprocess.run(
        [PROMTOOL, "test", "rules", str(folder / "llmos.rules.test.yaml")],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    queries = [query for _, query in expressions() if "label_values" not in query]
    rules = [
        {"record": f"q{at}", "expr": re.sub(r"\$__rate_interval", "5m", query)}
        for at, query in enumerate(queries)
    ]
    file = tmp_path / "rules.yaml"
    file.write_text(json.dumps({"groups": [{"name": "all", "rules": rules}]}))
    done = subprocess.run([PROMTOOL, "check", "rules", str(file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_trace_context_is_in_the_log_and_in_the_spans(daemon, client, collector):
    """The call is the caller's child, the generation the call's; what is no context is left out."""
    with trace_context(f"00-{TRACE}-{PARENT}-01"):
        answer = client.generate("m", "Once", max_tokens=4, ignore_eos=True)
    with pytest.raises(InvalidFieldError), trace_context("00-0-1-2"):
        pass
    client.count_tokens("m", "in nobody's trace")
    wait_for(lambda: collector.find(rpc__method="CountTokens"), 20)
    (call,) = [s for s in collector.find(rpc__method="Generate") if s.trace_id.hex() == TRACE]
    assert call.parent_span_id.hex() == PARENT
    (generation,) = [s for s in collector.spans if s.parent_span_id == call.span_id]
    assert generation.name == "text_completion m"
    assert generation.trace_id.hex() == TRACE
    told = attributes_of(generation)
    assert told["gen_ai.usage.output_tokens"] == 4
    assert told["gen_ai.usage.input_tokens"] == answer.usage.prompt_tokens
    assert told["gen_ai.response.model"] == "models/m/versions/1"
    phases = [told[f"llmos.{phase}_seconds"] for phase in ("queue", "prefill", "decode")]
    assert min(phases) >= 0
    assert generation.start_time_unix_nano <= generation.events[0].time_unix_nano
    assert [event.name for event in generation.events] == ["llmos.prefill", "llmos.first_token"]
    assert call.start_time_unix_nano <= generation.end_time_unix_nano <= call.end_time_unix_nano
    (other,) = collector.find(rpc__method="CountTokens")
    assert other.parent_span_id == b""
    wait_for(lambda: daemon.log_lines()[-1].get("method", "").endswith("CountTokens"), 10)
    lines = [line for line in daemon.log_lines() if line["event"] == "call"]
    traced = [line for line in lines if line.get("trace_id") == TRACE]
    assert [line["method"] for line in traced] == ["/llmos.v1.GenerationService/Generate"]
    assert "trace_id" not in lines[-1]


def test_failures_are_marked_in_spans(collector, client):
    with pytest.raises(ModelNotFoundError):
        client.count_tokens("stranger", "x")
    wait_for(lambda: collector.find(error__type="MODEL_NOT_FOUND", rpc__method="CountTokens"), 20)
    (span,) = collector.find(error__type="MODEL_NOT_FOUND", rpc__method="CountTokens")
    assert attributes_of(span)["rpc.grpc.status_code"] == 5
    assert span.status.code == 2


def test_log_level_at_run_time(daemon, client):
    """Set, shown, written down, and in force with the next line; only by who may."""
    assert llmos(daemon.address, "log-level").stdout == "info\n"
    assert llmos(daemon.address, "log-level", "error").stdout == "error, before info\n"
    client.count_tokens("m", "unseen")
    assert llmos(daemon.address, "log-level", "loud").returncode == 2
    assert client.set_log_level("info") == "error"
    client.count_tokens("m", "seen")
    wait_for(lambda: daemon.log_lines()[-1].get("method", "").endswith("CountTokens"), 10)
    lines = daemon.log_lines()
    at = next(n for n, line in enumerate(lines) if line["event"] == "log_level_set")
    assert [line["method"].rpartition("/")[2] for line in lines[at + 1 :] if "method" in line] == [
        "SetLogLevel",
        "CountTokens",
    ]
    audit = (daemon.folder / "state" / "audit.jsonl").read_text()
    assert audit.count("/llmos.v1.AdminService/SetLogLevel") == 2
    secret = client.create_token("only-manage", "manage").secret
    with Client(daemon.address, token=secret) as other:
        assert other.log_level() == "info"
        with pytest.raises(NotAuthorizedError):
            other.set_log_level("debug")


def test_doctor_of_a_healthy_daemon(daemon):
    """A line for each thing; warnings only where this machine gives reason."""
    done = llmos(daemon.address, "doctor", "-o", "json")
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    expected = "address version state-disk kernel-cache threads processor openmp memory certificate service access models jobs event-loop log unit"
    assert list(checks) == expected.split()
    machine = {"state-disk", "kernel-cache", "threads", "processor", "openmp", "memory", "event-loop", "unit"}  # fmt: skip
    assert {n: c for n, c in checks.items() if c["result"] != "ok" and n not in machine} == {}
    assert "hangs for 30 s" in checks["service"]["message"]
    assert all(bool(check["fix"]) == (check["result"] != "ok") for check in checks.values())
    assert done.returncode == any(check["result"] == "problem" for check in checks.values())


def test_a_model_that_fails_is_found(daemon, client):
    """By doctor, with what to do, by the verdict, and by the alert's metric."""
    daemon.install("bad", daemon.folder / "tiny")
    daemon.load("bad", keep_alive=0.1)
    wait_for(lambda: daemon.residency("bad").state == "idle", 20)
    weights = daemon.folder / "state/models/bad/1/model.safetensors"
    weights.chmod(0o600)
    with weights.open("r+b") as file:
        file.write(bytes(64))
    with pytest.raises(LlmosError):
        client.generate("bad", "Once")
    try:
        done = llmos(daemon.address, "doctor")
        assert done.returncode == 1
        problem, fix = re.search(
            r"PROBLEM +models +(bad/versions/1: .*)\n +-> (.*)", done.stdout
        ).groups()
        assert len(problem) > 20
        assert fix.startswith("llmos show bad/versions/1")
        done = llmos(daemon.address, "status", "--format", "nagios")
        assert (done.returncode, "bad/versions/1 failed" in done.stdout) == (2, True)
        assert scrape(daemon).value("llmos_model_state", model="bad", state="failed") == 1
    finally:
        client.delete_model("bad", force=True)


def test_doctor_where_nobody_answers(tmp_path):
    """It says so, and what to try."""
    done = llmos(f"unix:{tmp_path}/none.sock", "doctor")
    assert done.returncode == 1
    assert re.search(r"PROBLEM +address .*No such file", done.stdout)
    assert "llmos serve" in done.stdout
    assert llmos("nowhere", "doctor").returncode == 1


def test_verdict_for_nagios(daemon, tmp_path):
    """OK, WARNING and CRITICAL by thresholds, with figures; CRITICAL where nobody answers."""
    calm = ("--warn-memory", "0", "--crit-memory", "0")
    done = llmos(daemon.address, "status", "--format", "nagios", *calm)
    assert done.returncode == 0
    assert re.fullmatch(
        r"LLMOS OK - 1 models loaded, 0 requests wait, \d+% of memory free \| queue=0;32;128;0 "
        r"generations=0;;;0 models=1;;;0 failed=0;;;0 memory_free=[\d.]+%;0:;0:;0 "
        r"resident=\d+B;;;0 uptime=\d+s;;;0\n",
        done.stdout,
    )
    done = llmos(
        daemon.address, "status", "--format", "nagios", "--warn-memory", "100", "--crit-memory", "0"
    )
    assert (done.returncode, done.stdout[:15]) == (1, "LLMOS WARNING -")
    done = llmos(
        daemon.address,
        "status",
        "--format",
        "json",
        *calm,
        "--warn-queue",
        "0",
        "--crit-queue",
        "0",
    )
    assert done.returncode == 2
    assert json.loads(done.stdout)["status"] == "CRITICAL"
    done = llmos(f"unix:{tmp_path}/none.sock", "status", "--format", "nagios")
    assert done.returncode == 2
    assert done.stdout.startswith("LLMOS CRITICAL - no daemon answers")
    assert done.stdout.count("\n") == 1


def test_the_watchdog_is_fed(daemon, manager):
    """Again and again while the event loop turns; a process that is stopped says nothing."""
    seen = manager.said.count("WATCHDOG=1")
    wait_for(lambda: manager.said.count("WATCHDOG=1") > seen + 1, 20)
    daemon.process.send_signal(signal.SIGSTOP)
    try:
        time.sleep(0.2)  # what was on its way has come
        seen = len(manager.said)
        time.sleep(1.5)
        assert len(manager.said) == seen
    finally:
        daemon.process.send_signal(signal.SIGCONT)


def test_prompts_are_logged_only_where_somebody_asked_for_it(daemon, client, new_daemon):
    """Off: not a word. On: question and answer, and a warning at the start."""
    client.generate("m", "a secret of mine", max_tokens=4)
    assert "secret of mine" not in daemon.log.read_text()
    other = new_daemon(log_prompts="true", metrics_listen="127.0.0.1:0")
    other.install("m", daemon.folder / "tiny")
    other.load("m")
    with other.client() as connected:
        answer = connected.generate("m", "a secret\n of mine", max_tokens=4)
        (check,) = [each for each in connected.check_server() if each.name == "log"]
    assert check.result == "warning"
    other.logged(event="answer")
    lines = other.log_lines()
    assert lines[0]["event"] == "prompts_are_logged"
    assert lines[0]["level"] == "warning"
    (asked,) = [line for line in lines if line["event"] == "prompt"]
    (answered,) = [line for line in lines if line["event"] == "answer"]
    assert json.loads(asked["prompt"]) == "a secret\n of mine"
    assert answered["answers"] == [answer.text]
    assert asked["request_id"] == answered["request_id"]
    ready = other.logged(event="ready")
    host, _, port = ready["metrics_address"].rpartition(":")
    status, _, text = get(http.client.HTTPConnection(host, int(port)))
    assert status == 200
    assert Scrape(text).value("llmos_model_state", model="m", state="loaded") == 1


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
