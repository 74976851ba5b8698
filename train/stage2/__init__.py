"""Stage 2 by itself: MAGT on features that were made before, its training and its judgement."""
