"""Texts in eight languages, their phones, and the synthesizers that speak and sing them."""
