"""The dashboard and the alerts by themselves; tests/e2e/test_metrics.py holds them to a daemon."""

import json
import re
import shutil
import subprocess

import pytest

from queries import MONITORING, expressions, metrics_in

PROMTOOL = shutil.which("promtool")


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


def test_the_dashboard_is_one_that_grafana_takes():
    """Panels have ids of their own and do not lie on each other; each has a unit and says what it is."""
    panels = json.loads((MONITORING / "grafana/llmos.json").read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & places, panel["title"]
        assert at["x"] + at["w"] <= 24
        places |= cells
        if panel["type"] != "row":
            assert panel["description"].endswith(".")
            assert panel["fieldConfig"]["defaults"]["unit"]
