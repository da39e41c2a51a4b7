"""What songs, data sets and indexes cost as they grow: `python -m benchmarks.growth`."""
