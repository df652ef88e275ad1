"""Engines: where work runs. Each is a `types.Map`; the answer is the same on all of them, in the same order."""
