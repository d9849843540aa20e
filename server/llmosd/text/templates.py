"""Chat templates, rendered in a child process that is killed when it takes too long.

A template comes with a model from anywhere, so it is a program of a stranger: jinja2's immutable
sandbox bounds what it can reach, the process bounds its time and memory.
"""

import asyncio

from llmosd.errors import ChatTemplateFailed
from llmosd.ipc import ChannelClosed, Child, Failure
from llmosd.text.template_messages import FromTemplateWorker, Render, Rendered

_MODULE = "llmosd.text.template_worker"


class TemplateRenderer:
    """One worker, started on first use and again after it had to be killed."""

    def __init__(self, timeout: float = 0.8) -> None:
        """`timeout` in seconds, for one conversation."""
        self._timeout = timeout
        self._child: Child | None = None
        self._lock = asyncio.Lock()

    async def start(self) -> None:
        """Start the worker now instead of at the first conversation."""
        async with self._lock:
            await self._worker()

    async def render(self, request: Render) -> str:
        """The conversation as the model wants to see it.

        Raises:
            ChatTemplateFailed: the template refuses, fails, or takes too long.
        """
        async with self._lock:
            child = await self._worker()
            try:
                child.channel.send(request)
                async with asyncio.timeout(self._timeout):
                    answer = await child.channel.receive()
            except TimeoutError:
                await self.close()
                limit = f"{self._timeout:g} s"
                raise ChatTemplateFailed(f"the chat template ran longer than {limit}") from None
            except ChannelClosed:
                await self.close()
                raise ChatTemplateFailed("the chat template used up its memory") from None
            except asyncio.CancelledError:
                await self.close()  # an answer nobody waits for must not meet the next request
                raise
        if isinstance(answer, Failure):
            raise answer.error()
        assert isinstance(answer, Rendered)
        return answer.text

    async def close(self) -> None:
        """End the worker."""
        if self._child is not None:
            child, self._child = self._child, None
            child.kill()
            await child.ended()

    async def _worker(self) -> Child:
        if self._child is None or self._child.exited:
            self._child = await Child.spawn("template", _MODULE, FromTemplateWorker)
            await self._child.channel.receive()  # its imports are done: the clock may run
        return self._child
