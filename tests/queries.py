"""What the dashboard and the alerts ask Prometheus; `import queries` finds it from any test."""

import json
import re
from pathlib import Path

import yaml

MONITORING = Path(__file__).parents[1] / "monitoring"


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
