"""Covers of songs whose stems are known: how well each stage does, and what it costs."""
