"""The commands that judge embeddings."""
