"""Stage 1: one vector per utterance and modality, by public encoders that learn the corpus."""
