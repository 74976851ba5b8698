"""How well speakers are told apart: references, scores by pyannote.metrics, pictures."""
