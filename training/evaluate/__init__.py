"""Evaluation of frozen embeddings on labelled tasks."""
