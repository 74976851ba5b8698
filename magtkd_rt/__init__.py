"""Streaming emotion recognition for conversations: expression, not inner state."""

import os

# Before onnxruntime is imported anywhere here: its wheels send usage data to Microsoft unless told
# not to, and what this program says is that nothing leaves the machine.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
