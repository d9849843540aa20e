"""Reading a daemon's metrics as Prometheus does; `import scraping` finds it from any test."""

import http.client
import socket

from prometheus_client.parser import text_string_to_metric_families


class UnixConnection(http.client.HTTPConnection):
    """HTTP on a Unix socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=20)
        self._path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def get(connection, path="/metrics", method="GET", **headers):
    """Status, headers and body of one request."""
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    found = answer.status, answer.headers, answer.read().decode()
    connection.close()
    return found


class Scrape:
    """One text of metrics, parsed."""

    def __init__(self, text):
        self.families = {each.name: each for each in text_string_to_metric_families(text)}
        self.samples = [s for family in self.families.values() for s in family.samples]

    def names(self):
        """Every name that a query may use, those of families without a series, too."""
        ends = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}
        declared = {
            f"{name}{end}" for name, family in self.families.items()
            for end in ends.get(family.type, [""])
        }  # fmt: skip
        return declared | {sample.name for sample in self.samples}

    def value(self, name, **labels):
        """The sum of the series that have these labels."""
        found = [
            s.value for s in self.samples if s.name == name and labels.items() <= s.labels.items()
        ]
        return sum(found)

    def labels(self, name, label):
        """The values that a label has."""
        return {sample.labels[label] for sample in self.samples if sample.name == name}


def scrape(daemon):
    """A daemon whose metrics_listen is m.sock in its folder."""
    status, headers, text = get(UnixConnection(daemon.folder / "m.sock"))
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return Scrape(text)
