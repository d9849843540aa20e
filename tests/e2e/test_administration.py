"""A daemon as its administrator sees it: traces, the log, doctor, a verdict, the watchdog."""

import http.client
import json
import re
import signal
import time

import pytest

from collector import Collector, attributes_of
from daemon import DaemonProcess, llmos, wait_for
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
from scraping import Scrape, get
from service_manager import Manager

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture(scope="module")
def manager(tmp_path_factory):
    listening = Manager(tmp_path_factory.mktemp("notify") / "s")
    yield listening
    listening.close()


@pytest.fixture(scope="module")
def collector(tmp_path_factory):
    with Collector(f"unix:{tmp_path_factory.mktemp('otlp')}/c.sock") as running:
        yield running


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
            metrics_listen="127.0.0.1:0",
            log_prompts="true",
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
    assert checks.pop("log")["result"] == "warning"  # log_prompts is on
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
        found = Scrape(client.metrics())
        assert found.value("llmos_model_state", model="bad", state="failed") == 1
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


def test_prompts_are_logged_where_somebody_asked_for_it(daemon, client):
    """Question and answer, and a warning at the start; test_metrics.py has the control."""
    answer = client.generate("m", "a secret\n of mine", max_tokens=4)
    first = daemon.log_lines()[0]
    assert (first["event"], first["level"]) == ("prompts_are_logged", "warning")
    asked = daemon.logged(event="prompt", prompt=json.dumps("a secret\n of mine"))
    answered = daemon.logged(event="answer", request_id=asked["request_id"])
    assert answered["answers"] == [answer.text]


def test_metrics_on_a_port(daemon):
    """Of this machine; where it is, the log says."""
    host, _, port = daemon.logged(event="ready")["metrics_address"].rpartition(":")
    assert host == "127.0.0.1"
    status, _, text = get(http.client.HTTPConnection(host, int(port)))
    assert status == 200
    assert Scrape(text).value("llmos_model_state", model="m", state="loaded") == 1
