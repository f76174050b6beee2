"""Many files to embeddings: one table of some, or a folder of parts of any number."""

from selfie_hear.corpus.collection import ENGINES, SHARD_SIZE, Progress, embed_collection
from selfie_hear.corpus.find import find_files
from selfie_hear.corpus.listener import Listener, embed_files

__all__ = [
    "ENGINES",
    "SHARD_SIZE",
    "Listener",
    "Progress",
    "embed_collection",
    "embed_files",
    "find_files",
]
