"""What makes the files that the project ships; users of the suite need none of it."""
