# ruff: noqa: N802 - the contract's names
"""The fake daemon's generations: what is streamed, and what was cancelled."""

import queue
import threading
import time

import grpc
from fake_status import make_status

from llmos.v1 import generation_service_pb2 as pb


class FakeGeneration:
    """Mix-in with GenerationService; `answer` is what every prompt gets, piece by piece."""

    def __init__(self):
        super().__init__()
        self.answer = ["Hel", "lo", " wor", "ld"]
        self.hold_after = None  # pieces after which a generation waits to be cancelled
        self.release = threading.Event()
        self.cancelled = []  # generation ids
        self.cancelled_event = threading.Event()
        self.converse_failures = {}  # generation id -> status
        self.transcripts = {}  # generation id -> list of contents

    def Generate(self, request, context):
        self.check("Generate", request, context)
        version = self.find(request.model, context)
        tokens = [
            {
                "id": 7,
                "bytes": b"Hel",
                "logprob": -0.5,
                "top": [{"id": 7, "bytes": b"Hel", "logprob": -0.5}],
            }
        ]
        return pb.GenerateResponse(
            generation="generations/g1",
            model_version=version.name,
            parameters=_effective(request),
            choices=[
                pb.Choice(
                    index=i,
                    text="".join(self.answer),
                    finish_reason="FINISH_REASON_STOP_TOKEN",
                    tokens=tokens if request.output.HasField("logprobs") else (),
                )
                for i in range(request.sampling.n or 1)
            ],
            usage=_usage(self.answer),
            timings=_timings(),
        )

    def StreamGenerate(self, request, context):
        self.check("StreamGenerate", request, context)
        version = self.find(request.model, context)
        gone, completed = threading.Event(), threading.Event()

        def over():
            # gRPC calls this however the call ended.
            gone.set()
            if not completed.is_set():
                self._note_cancelled("g1")

        context.add_callback(over)
        for n, event in enumerate(self._events("g1", request, version.name, 1, gone), 1):
            event.sequence = n
            if event.WhichOneof("event") == "completed":
                completed.set()
            yield event

    def Converse(self, requests, context):
        self.check("Converse", None, context)
        turns = _Turns(requests)

        def over():
            turns.lost()
            for generation_id in turns.running():
                self._note_cancelled(generation_id)

        context.add_callback(over)
        while (item := turns.next()) is not None:
            if isinstance(item, pb.ConverseRequest):
                yield from self._act(item, turns, context)
            else:
                yield item

    def CancelGeneration(self, request, context):
        self.check("CancelGeneration", request, context)
        return pb.CancelGenerationResponse(state="STATE_CANCELLED")

    def CountTokens(self, request, context):
        self.check("CountTokens", request, context)
        return pb.CountTokensResponse(tokens=len(request.text.text) or 99, context_length=8192)

    def _act(self, request, turns, context):
        self.calls.append(("ConverseRequest", request))
        generation_id, action = request.generation_id, request.WhichOneof("action")
        if action == "cancel":
            self._note_cancelled(generation_id)
            turns.cancel(generation_id)
            return
        if generation_id in self.converse_failures:
            yield pb.GenerateEvent(
                generation_id=generation_id,
                sequence=1,
                failed=self.converse_failures[generation_id],
            )
            return
        if action == "append" and generation_id not in turns.requests:
            missing = make_status("NOT_FOUND", "no such generation", "GENERATION_NOT_FOUND")
            yield pb.GenerateEvent(generation_id=generation_id, sequence=1, rejected=missing)
            return
        messages = request.start.chat.messages if action == "start" else request.append.messages
        said = self.transcripts.setdefault(generation_id, [])
        said += [m.content for m in messages]
        if action == "start":
            turns.requests[generation_id] = (request.start, self.find(request.start.model, context))
        begun, version = turns.requests[generation_id]
        turn = turns.begin(generation_id)
        stop = turns.stops[generation_id]
        turns.play(generation_id, self._events(generation_id, begun, version.name, turn, stop))
        said.append("".join(self.answer))

    def _events(self, generation_id, request, version, turn, gone):
        """Every event of one turn, without sequence numbers."""

        def event(**kind):
            return pb.GenerateEvent(generation_id=generation_id, **kind)

        yield event(
            started=pb.GenerationStarted(
                generation=f"generations/{generation_id}",
                model_version=version,
                parameters=_effective(request),
                prompt_tokens=5,
                turn=turn,
            )
        )
        for count, piece in enumerate(self.answer):
            if count == self.hold_after:
                while not (gone.wait(0.01) or self.release.is_set()):
                    pass
                if gone.is_set():
                    break
            yield event(delta=pb.GenerationDelta(choice=0, text=piece))
        reason = "FINISH_REASON_CANCELLED" if gone.is_set() else "FINISH_REASON_STOP_TOKEN"
        yield event(finished=pb.ChoiceFinished(choice=0, finish_reason=reason))
        yield event(completed=pb.GenerationCompleted(usage=_usage(self.answer), timings=_timings()))

    def _note_cancelled(self, generation_id):
        self.cancelled.append(generation_id)
        self.cancelled_event.set()


class _Turns:
    """What a Converse stream has going: requests come from one thread, turns from others."""

    def __init__(self, requests):
        self.requests = {}
        self.stops = {}
        self.gone = threading.Event()
        self._queue = queue.Queue()
        self._active = {}
        self._numbers = {}
        self._sequences = {}
        self._closed = False
        threading.Thread(target=self._read, args=(requests,), daemon=True).start()

    def next(self):
        while True:
            if self.gone.is_set() or (self._closed and not self._active and self._queue.empty()):
                return None
            try:
                item = self._queue.get(timeout=0.02)
            except queue.Empty:
                continue
            if item == "closed":
                self._closed = True
            elif isinstance(item, tuple):
                self._active.pop(item[1], None)
            else:
                return item

    def begin(self, generation_id):
        self.stops[generation_id] = threading.Event()
        self._numbers[generation_id] = self._numbers.get(generation_id, 0) + 1
        return self._numbers[generation_id]

    def play(self, generation_id, events):
        def send():
            for event in events:
                self._sequences[generation_id] = self._sequences.get(generation_id, 0) + 1
                event.sequence = self._sequences[generation_id]
                self._queue.put(event)
                time.sleep(0.005)
            self._queue.put(("over", key))

        key = (generation_id, self._numbers[generation_id])
        self._active[key] = threading.Thread(target=send, daemon=True)
        self._active[key].start()

    def cancel(self, generation_id):
        if generation_id in self.stops:
            self.stops[generation_id].set()

    def running(self):
        return [generation_id for generation_id, _ in self._active]

    def _read(self, requests):
        try:
            for request in requests:
                self._queue.put(request)
        except grpc.RpcError:
            return
        self._queue.put("closed")

    def lost(self):
        self.gone.set()
        for stop in self.stops.values():
            stop.set()


def _effective(request):
    effective = pb.EffectiveParameters(
        sampling=request.sampling, stopping=request.stopping, output=request.output
    )
    if not effective.sampling.HasField("seed"):
        effective.sampling.seed = 1234
    return effective


def _usage(answer):
    return pb.Usage(prompt_tokens=5, cached_prompt_tokens=2, completion_tokens=len(answer))


def _timings():
    timings = pb.Timings()
    timings.queue.FromMilliseconds(1)
    timings.prefill.FromMilliseconds(20)
    timings.time_to_first_token.FromMilliseconds(21)
    timings.decode.FromMilliseconds(100)
    return timings
