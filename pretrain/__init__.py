"""The folder of the published weights, and the command that fills it: ``python -m pretrain``."""
