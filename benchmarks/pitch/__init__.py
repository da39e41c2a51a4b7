"""F0 predictors on recordings of known pitch, and on real ones by agreement: docs/pitch.md."""
