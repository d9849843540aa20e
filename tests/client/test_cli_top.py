"""llmos top, in text and JSON, and the streams of both clients it stands on."""

import sys

import pytest

from llmos.v1 import admin_service_pb2 as pb


@pytest.fixture(autouse=True)
def loads(daemon):
    model = pb.ModelLoad(
        model_version="models/smollm2/versions/1",
        running=2,
        waiting=3,
        kv_blocks_used=5,
        kv_blocks_total=20,
        rows_per_step=1.5,
        prompt_tokens_per_second=900,
        generated_tokens_per_second=120,
        prompt_tokens=100,
        cached_prompt_tokens=25,
        preemptions=4,
        late=1,
    )
    model.estimated_wait.FromMilliseconds(1500)
    model.classes.add(priority="PRIORITY_LOW", running=1, waiting=3)
    model.classes.add(priority="PRIORITY_HIGH", running=1)
    model.tenants.add(tenant="team-a", weight=2, running=2, waiting=3, generated_tokens=77)
    model.tenants.add(weight=1, generated_tokens=99)
    daemon.loads += [pb.WatchLoadResponse(models=[model]), pb.WatchLoadResponse()]


def test_once(cli, daemon):
    ran = cli("top", "--once")
    assert ran.code == 0
    header, model, _, tenants, anonymous, named = ran.out.splitlines()
    assert header.split()[:5] == ["NAME", "RUNNING", "LOW", "NORMAL", "HIGH"]
    row = "smollm2/versions/1 2 3 - 0 1.5 25% 900 120 25% - 4 1 1.5s"
    assert model.split() == row.split()
    assert tenants.split()[1] == "TENANT"
    assert anonymous.split()[1:] == ["-", "1", "0", "0", "0", "99"]
    assert named.split()[1:] == ["team-a", "2", "2", "3", "0", "77"]
    shown = cli("top", "--once", "-o", "json").json
    assert shown["models"][0]["classes"][0] == {"priority": "low", "running": 1, "waiting": 3}
    assert daemon.seen("WatchLoad")[0].interval.seconds == 1


def test_following(cli, daemon):
    ran = cli("top", "--interval", "0.5")
    assert ran.out.count("TENANT") == 1
    assert "Nothing is loaded" in ran.out
    lines = cli("top", "-o", "json").lines
    assert [len(line["models"]) for line in lines] == [1, 0]
    assert daemon.seen("WatchLoad")[0].interval.nanos == 500_000_000
    assert cli("top", "--interval", "0.01").code == 2


def test_on_a_terminal_it_is_drawn_over(cli, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    out = cli("top").out
    assert "team-a" in out
    assert "\x1b[1A" in out  # up, to write over it


async def test_both_clients_follow(client, aclient):
    with client.watch_load() as events:
        known = list(events)
    async with aclient.watch_load(interval=2) as events:
        assert [load async for load in events] == known
    assert known[0].models[0].estimated_wait == 1.5
