"""Who may call: planes, tokens and roles, on real sockets (T18 to T22, T30)."""

import json
import time

import grpc
import pytest

import threats
from e2e_access import daemon_with_planes, outcome, over_tls, raw_tls
from factory import tiny_llama_folder
from llmos.v1 import model_service_pb2, model_service_pb2_grpc
from llmos_client import AsyncClient, Client, Failed, LlmosError, Rejected
from llmos_client.cli.main import run

DENIED = "PERMISSION_DENIED/PERMISSION_DENIED"
UNKNOWN = "UNAUTHENTICATED/UNAUTHENTICATED"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    quotas = {"narrow": {"generations": 1}, "slow": {"tokens_per_minute": 40}}
    daemon = daemon_with_planes(
        tmp_path_factory.mktemp("access"), tcp_role="admin", tenant_quotas=json.dumps(quotas)
    )
    daemon.install(
        "tiny", tiny_llama_folder(tmp_path_factory.mktemp("tiny"), max_position_embeddings=4096)
    )
    daemon.load("tiny")
    yield daemon
    daemon.stop()


@pytest.fixture(scope="module")
def secret(daemon):
    """Tokens by role."""
    with daemon.client() as client:
        return {
            role: client.create_token(role, role, tenant=f"team-{role}").secret
            for role in ("use", "manage", "admin")
        }


def audited(daemon, **wanted):
    """Lines of the audit log that say so."""
    text = (daemon.folder / "state" / "audit.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    return [line for line in lines if wanted.items() <= line.items()]


def test_a_person_on_the_manage_socket_needs_no_token(daemon):
    with daemon.client() as client:
        assert client.generate("tiny", "hello", max_tokens=2).text is not None
        assert client.list_operations() is not None
        assert client.list_tokens() is not None


def test_each_role_does_what_it_may_and_no_more(daemon, secret):
    """On TCP, by all kinds of calls: T21; what one role is denied the next one does."""
    expected = {"use": ["OK", DENIED, DENIED], "manage": ["OK", "OK", DENIED], "admin": ["OK"] * 3}
    for role, outcomes in expected.items():
        with over_tls(daemon, secret[role]) as client:
            found = [
                outcome(client.generate, "tiny", "hello", max_tokens=1),
                outcome(lambda c=client: next(c.watch_load())),
                outcome(client.list_tokens),
            ]
        assert found == outcomes, role


@pytest.mark.parametrize("change", ["none", "wrong", "prefix", "revoked", "expired"])
def test_tokens_that_are_not_valid(daemon, secret, change):
    """T18, T19; with the same call and the right token it is OK."""
    sent, says = secret["use"], "not valid"
    with daemon.client() as client:
        if change == "none":
            sent, says = "", "a token is needed"
        elif change == "wrong":
            sent = f"llmos_{'0' * 16}_{'A' * 43}"
        elif change == "prefix":
            sent = sent[:-1]
        elif change == "revoked":
            sent = client.create_token("gone", "use").secret
            with over_tls(daemon, sent) as other:
                assert outcome(other.list_models) == "OK"
            client.revoke_token("gone")
        elif change == "expired":
            sent, says = client.create_token("short", "use", lifetime=0.05).secret, "has expired"
            time.sleep(0.06)
    with over_tls(daemon, sent) as client:
        with pytest.raises(LlmosError, match=says) as caught:
            client.list_models()
        assert caught.value.label == UNKNOWN
        assert client.health() == "serving"
    with over_tls(daemon, secret["use"]) as client:
        assert outcome(client.list_models) == "OK"
    if change != "none":  # on a Unix socket, too, a token is believed or refused, never ignored
        with Client(daemon.address, token=sent) as client:
            assert outcome(client.list_models) == UNKNOWN


def test_no_method_but_the_health_check_answers_without_a_token(daemon, secret):
    """T22: every method, bytes that are no message: who may not call does not get to the parser."""
    with threats.raw(daemon) as manage, raw_tls(daemon) as channel:
        methods = threats.methods(manage)
        assert len(methods) > 70
        for method in methods:
            if method.path == "/grpc.health.v1.Health/Check":
                continue
            code = threats.code_of(channel, method, b"\xff\xff")
            if "Reflection" in method.path:  # T30: not there at all
                assert code is grpc.StatusCode.UNIMPLEMENTED
            else:
                assert code is grpc.StatusCode.UNAUTHENTICATED, method.path
        known = (("authorization", f"Bearer {secret['use']}"),)
        method = threats.method("Tokenize")
        code = threats.code_of(channel, method, b"\xff\xff", metadata=known)
        assert code is grpc.StatusCode.INVALID_ARGUMENT


def test_the_use_socket_cannot_manage(daemon, secret):
    """Neither without a token nor with the highest; on the manage socket the same call is OK."""
    for token in ("", secret["admin"]):
        with Client(daemon.use_address, token=token) as client:
            assert outcome(client.generate, "tiny", "hello", max_tokens=1) == "OK"
            with pytest.raises(LlmosError, match="serves the role use at most") as caught:
                client.unload_model("tiny")
            assert caught.value.metadata["needed_role"] == "manage"
            assert outcome(client.list_tokens) == DENIED
    with daemon.client() as client:
        assert outcome(client.list_tokens) == "OK"


def test_a_tenant_cannot_be_claimed(daemon, secret):
    """The token says it; without a token, on a Unix socket, the header does."""
    for address in (daemon.address, daemon.use_address):
        with Client(address, token=secret["use"], tenant="victim") as client:
            with pytest.raises(LlmosError, match="llmos-tenant") as caught:
                client.generate("tiny", "hello", max_tokens=1)
            assert caught.value.label == DENIED
    with Client(daemon.address, token=secret["use"], tenant="team-use") as client:
        assert outcome(client.generate, "tiny", "hello", max_tokens=1) == "OK"
    with Client(daemon.use_address, tenant="anybody") as client:
        assert outcome(client.generate, "tiny", "hello", max_tokens=1) == "OK"


def test_the_engine_knows_the_token_s_tenant(daemon, secret):
    with over_tls(daemon, secret["manage"]) as client:
        client.generate("tiny", "hello", max_tokens=1)
        time.sleep(0.6)  # a report of the engine
        load = next(client.watch_load())
    assert "team-manage" in {tenant.tenant for model in load.models for tenant in model.tenants}


async def test_the_asyncio_client_sends_its_token(daemon, secret):
    files = {"tls_ca": str(daemon.certs / "ca.pem")}
    async with AsyncClient(daemon.tcp_address, token=secret["admin"], **files) as client:
        assert {each.name for each in await client.list_tokens()} >= {"use", "manage", "admin"}
    async with AsyncClient(daemon.tcp_address, token=secret["use"], **files) as client:
        with pytest.raises(LlmosError, match="needs the role admin"):
            await client.list_tokens()


def test_nobody_ends_another_tenant_s_generation(daemon, secret):
    """T26: NOT_FOUND, running or ended; its own tenant, and the manage socket, may."""
    long = {"max_tokens": 2000, "ignore_eos": True}
    for role, ends in (("manage", "GENERATION_NOT_FOUND"), ("use", ""), (None, "")):
        token = secret[role] if role else ""
        with (
            over_tls(daemon, secret["use"]) as victim,
            Client(daemon.address, token=token) as other,
            victim.stream("tiny", "hello", **long) as events,
        ):
            name = next(iter(events)).generation
            assert outcome(other.cancel_generation, name).endswith(ends or "OK"), role
    with over_tls(daemon, secret["manage"]) as other:
        assert outcome(other.cancel_generation, name) == "NOT_FOUND/GENERATION_NOT_FOUND"


def test_quotas(daemon):
    """One tenant's are used up, with the time to come back; another one is served."""
    with daemon.client() as client:
        narrow, slow = (client.create_token(name, "use").secret for name in ("narrow", "slow"))
    with over_tls(daemon, narrow) as client, over_tls(daemon, slow) as other:
        with client.converse() as stream:
            stream.start("a", "tiny", "hello", max_tokens=250, ignore_eos=True)
            stream.start("b", "tiny", "hello", max_tokens=250, ignore_eos=True)
            stream.done_sending()
            failed = [event.error for event in stream if isinstance(event, (Failed, Rejected))]
        assert [(each.reason, each.retry_after) for each in failed] == [("LIMIT_EXCEEDED", 1.0)]
        assert outcome(client.generate, "tiny", "hello", max_tokens=1) == "OK"
        assert outcome(other.generate, "tiny", "hello", max_tokens=60, ignore_eos=True) == "OK"
        with pytest.raises(LlmosError, match="40 tokens per minute") as caught:
            other.generate("tiny", "hello", max_tokens=1)
        assert caught.value.code == "RESOURCE_EXHAUSTED"
        assert 0 < caught.value.retry_after <= 120
    with daemon.client() as client:
        assert outcome(client.generate, "tiny", "hello", max_tokens=1) == "OK"


def test_the_audit_log(daemon, secret):
    """Who, what, how it ended; no line for what the role use may; never a prompt or a secret."""
    prompt = "a canary nobody may write down"
    with over_tls(daemon, secret["admin"]) as client:
        client.create_token("noted", "use")
        client.generate("tiny", prompt, max_tokens=1)
        outcome(client.get_dataset, "no-such")
    with over_tls(daemon, secret["use"]) as client:
        outcome(client.delete_model, "tiny")
    made = audited(daemon, method="/llmos.v1.AccessService/CreateToken", caller="token:admin")
    assert made[-1].items() >= {
        "plane": "tcp", "role": "admin", "tenant": "team-admin", "code": "OK",
    }.items()  # fmt: skip
    assert made[-1]["names"] == {"name": "noted"}
    (missing,) = audited(daemon, method="/llmos.v1.DatasetService/GetDataset", caller="token:admin")
    assert (missing["code"], missing["reason"]) == ("NOT_FOUND", "DATASET_NOT_FOUND")
    (refused,) = audited(daemon, method="/llmos.v1.ModelService/DeleteModel", caller="token:use")
    assert refused["reason"] == "PERMISSION_DENIED"
    for line in (made[-1], refused):
        daemon.logged(request_id=line["request_id"])
    assert not audited(daemon, method="/llmos.v1.GenerationService/Generate", code="OK")
    written = daemon.log.read_text() + (daemon.folder / "state/audit.jsonl").read_text()
    assert prompt not in written
    assert not [role for role in secret if secret[role][24:] in written]


def test_a_flood_of_refused_calls_leaves_room(daemon, secret):
    """Twenty lines a second, then a count; what is done meanwhile has its line."""
    before = len(audited(daemon, reason="UNAUTHENTICATED"))
    with over_tls(daemon, "llmos_no") as client:
        for _ in range(100):
            outcome(client.list_models)
    assert 0 < len(audited(daemon, reason="UNAUTHENTICATED")) - before < 100
    with daemon.client() as client:
        client.list_tokens()
    assert audited(daemon, method="/llmos.v1.AccessService/ListTokens")[-1][
        "refused_calls_left_out"
    ]


def test_the_commands(daemon, capsys, monkeypatch, tmp_path):
    """llmos token create, list, revoke; what is refused says what to do, and exits with 77."""
    monkeypatch.delenv("LLMOS_TOKEN", raising=False)
    at = ["--address", daemon.address]
    assert run(["token", "create", "person", "--lifetime", "1h", *at]) == 0
    made = capsys.readouterr()
    token = made.out.strip()
    assert token.startswith("llmos_")
    assert "not shown again" in made.err
    assert run(["token", "list", *at]) == 0
    (row,) = [r for r in capsys.readouterr().out.splitlines() if r.startswith("person ")]
    assert row.split()[1:4] == ["use", "person", "valid"]
    assert token[24:] not in row
    assert run(["token", "list", "--token", token, *at]) == 77
    assert "use credentials of the role admin" in capsys.readouterr().err
    monkeypatch.setenv("LLMOS_TOKEN", token)
    assert run(["list", *at]) == 0
    monkeypatch.delenv("LLMOS_TOKEN")
    assert run(["token", "revoke", "person", *at]) == 0
    capsys.readouterr()
    assert run(["list", "--token", token, *at]) == 77
    assert "UNAUTHENTICATED" in capsys.readouterr().err
    assert run(["token", "revoke", "nobody", *at]) == 1
    assert "llmos token list" in capsys.readouterr().err
    assert run(["token", "create", "Bad Name", *at]) == 1
    assert "name" in capsys.readouterr().err
    assert run(["certs", "init", "--dir", str(tmp_path / "c"), "--host", "a.example"]) == 0
    assert (tmp_path / "c" / "server-key.pem").exists()
    assert "server-key.pem" in capsys.readouterr().out


def test_another_tenant_s_operations_do_not_exist(daemon, secret):
    """T25: NOT_FOUND by every method, and in no list; the owner, an admin and the manage socket see."""
    with daemon.client() as client:
        other = client.create_token("other-team", "manage").secret
    name = "operations/" + "0" * 16
    file = daemon.folder / "rows.txt"
    file.write_text("a few words\nand a few more\n")
    with over_tls(daemon, secret["manage"]) as client:
        operation = client.upload_dataset("rows", [file], kind="text")
        client.wait_operation(operation)
        assert operation.name in {each.name for each in client.list_operations()}
    with over_tls(daemon, other) as client:
        for call in (
            client.get_operation,
            client.cancel_operation,
            lambda n: next(client.watch_operation(n)),
        ):
            real, unknown = (_refused(call, each) for each in (operation.name, name))
            assert real == unknown == "NOT_FOUND/OPERATION_NOT_FOUND"
        assert operation.name not in {each.name for each in client.list_operations()}
    for token in (secret["admin"], ""):
        with Client(daemon.address, token=token) as client:
            assert client.get_operation(operation.name).done
            assert operation.name in {each.name for each in client.list_operations()}


def test_request_ids_are_their_tenant_s(daemon, secret):
    """The same id of two tenants is two operations: neither an oracle nor another's answer."""
    with daemon.client() as client:
        other = client.create_token("other-ids", "manage").secret
    names = []
    for token in (secret["manage"], other, other):
        metadata = (("authorization", f"Bearer {token}"),)
        request = model_service_pb2.LoadModelRequest(
            name="models/tiny", request_id="the-same", validate_only=True
        )
        with threats.raw(daemon) as channel:
            stub = model_service_pb2_grpc.ModelServiceStub(channel)
            names.append(stub.LoadModel(request, metadata=metadata, timeout=10).name)
    assert names[0] != names[1] == names[2]


def _refused(call, name):
    try:
        call(name)
    except LlmosError as error:
        return error.label
    return "OK"


@pytest.mark.parametrize("why", ["revoked", "expired"])
def test_a_stream_ends_with_its_token(daemon, secret, why):
    """At once, with UNAUTHENTICATED; another token's stream goes on."""
    with daemon.client() as admin:
        lifetime = 1.5 if why == "expired" else None
        token = admin.create_token(f"ends-{why}", "use", lifetime=lifetime).secret
        with (
            over_tls(daemon, token) as one,
            over_tls(daemon, secret["use"]) as two,
            one.stream("tiny", "hello", max_tokens=4000, ignore_eos=True) as ends,
            two.stream("tiny", "hello", max_tokens=4000, ignore_eos=True) as goes_on,
        ):
            next(ends), next(goes_on)
            if why == "revoked":
                admin.revoke_token("ends-revoked")
            with pytest.raises(LlmosError, match=f"the token was {why}") as caught:
                list(ends)
            assert caught.value.label == UNKNOWN
            next(goes_on)


def test_bad_tokens_are_counted(daemon, secret):
    """T27: told to stop after ten; the right token, from the same address, is let through."""
    found = []
    with over_tls(daemon, f"llmos_{'0' * 16}_{'A' * 43}") as client:
        while len(found) < 30:
            found.append(outcome(client.list_models))
    assert set(found) == {UNKNOWN, "RESOURCE_EXHAUSTED/LIMIT_EXCEEDED"}
    assert 0 < found.count(UNKNOWN) <= 20  # what other tests tried counts, too
    with over_tls(daemon, secret["use"]) as client:
        assert outcome(client.list_models) == "OK"
