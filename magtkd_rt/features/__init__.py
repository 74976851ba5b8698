"""What turns raw input into model input, for training and the runtime alike."""
