"""Streaming emotion recognition for conversations: expression, not inner state."""
