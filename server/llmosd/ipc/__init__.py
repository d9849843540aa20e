"""Frames of typed messages between the front and its child processes."""

from llmosd.ipc.channel import AsyncChannel, Channel, ChannelClosed
from llmosd.ipc.child import Child, die_with_parent
from llmosd.ipc.failure import Failure

__all__ = ["AsyncChannel", "Channel", "ChannelClosed", "Child", "Failure", "die_with_parent"]
