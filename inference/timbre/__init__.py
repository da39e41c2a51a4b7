"""What changes the sound of a result but for its pitch: formants, and the source's own noises."""
