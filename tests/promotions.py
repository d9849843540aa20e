"""Models of two versions, and those who ask them; `import promotions` finds it."""

import shutil
import threading

from safetensors.numpy import load_file, save_file

from llmos_client import Completed, Started

PROMPTS = [[3, 17, 200, at] for at in range(8)]


def install(daemon, name, folder, **options):
    options = {"license": "Apache-2.0", "alias": "", **options}
    with daemon.client() as client:
        files = sorted(path for path in folder.iterdir() if path.is_file())
        return client.wait_operation(client.upload_model(name, files, **options)).result()


def prepare(daemon, folders, name):
    install(daemon, name, folders[0])
    install(daemon, name, folders[1], alias="candidate")
    with daemon.client() as client:
        client.delete_alias(name, "candidate")  # or it would keep the version in memory
    daemon.load(name)
    return name


def say(client, name, at, **more):
    options = {"max_tokens": 24, "temperature": 0.0, "ignore_eos": True, "return_tokens": True}
    answer = client.generate(name, tokens=PROMPTS[at % len(PROMPTS)], **(options | more))
    return answer.model_version, tuple(token.id for token in answer.choices[0].tokens)


def say_as(client, daemon, name):
    daemon.load(name)
    return say(client, name, 0)[0]


def version(name, number):
    return f"models/{name}/versions/{number}"


def own_answers(daemon, name):
    """What each version says to each prompt, asked by its number."""
    with daemon.client() as client:
        found = {}
        client.load_model(version(name, 2)).result()
        for number in (1, 2):
            for at in range(len(PROMPTS)):
                found[version(name, number), at] = say(client, version(name, number), at)[1]
        client.unload_model(version(name, 2)).result()
    return found


def state(client, name, number):
    return client.get_version(version(name, number)).residency.state


def lost(client, name, times):
    residency = client.get_version(version(name, 2)).residency
    return residency.restarts >= times or client.get_model(name).live.number == 1


def answers_as(client, name, number):
    try:
        return say(client, name, 0)[0] == version(name, number)
    except Exception:
        return False


class Crowd:
    """Streams that ask for the bare name, again and again; what each was told, and by whom."""

    def __init__(self, daemon, name, streams):
        self._daemon, self._name = daemon, name
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=[at]) for at in range(streams)]
        self.answers, self.failures = [], []

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _run(self, at):
        with self._daemon.client() as client:
            while not self._over.is_set():
                try:
                    self.answers.append(self._stream(client, at))
                except Exception as error:
                    self.failures.append(error)

    def _stream(self, client, at):
        tokens, who, whole = [], "", False
        prompt = PROMPTS[at % len(PROMPTS)]
        options = {"max_tokens": 24, "temperature": 0.0, "ignore_eos": True, "return_tokens": True}
        with client.stream(self._name, tokens=prompt, **options) as events:
            for event in events:
                if isinstance(event, Started):
                    who = event.model_version
                whole = whole or isinstance(event, Completed)
                tokens += [token.id for token in getattr(event, "tokens", ())]
        assert whole
        return who, at % len(PROMPTS), tuple(tokens)


def bad_folder(folder, target, change):
    """The folder with weights changed."""
    shutil.copytree(folder, target)
    weights = load_file(target / "model.safetensors")
    change(weights)
    save_file(weights, target / "model.safetensors", metadata={"format": "pt"})
    return target


def mark(weights):
    weights["model.norm.weight"][0] = 1234.0


# Runs at the start of every Python: weights with the mark end the process of a long prompt.
CRASHING = """
import importlib.abc, importlib.util, os, sys

class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "llmosd.architectures.llama":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        run = spec.loader.exec_module
        def exec_module(module):
            run(module)
            network = module.Llama
            made, forward = network.__init__, network.forward
            def init(self, config, weights, ops):
                def seen(name):
                    value = weights(name)
                    if name == "model.norm.weight":
                        self.marked = float(value[0]) == 1234.0
                    return value
                made(self, config, seen, ops)
                self.seen = 0
            def step(self, batch, cache):
                if self.marked and len(batch.ids) > 40:
                    os._exit(11)
                return forward(self, batch, cache)
            network.__init__, network.forward = init, step
        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, Finder())
"""
