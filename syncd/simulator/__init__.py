"""A Marketo that runs on a laptop: for tests, demonstrations, and to learn the API without a subscription."""

from syncd.simulator.options import PROFILES, Options
from syncd.simulator.process import running
from syncd.simulator.server import PortInUse, serve

__all__ = ["PROFILES", "Options", "PortInUse", "running", "serve"]
