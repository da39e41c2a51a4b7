"""Scripts that make the files which the project ships; users need none of them."""
