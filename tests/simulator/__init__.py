"""Tests of the simulator, all of them over HTTP."""
