"""selfie_hear: any sound to a vector, through the HEAR API."""

from selfie_hear.api import InputError, get_scene_embeddings, get_timestamp_embeddings, load_model
from selfie_hear.embedder import Embedder
from selfie_hear.pretrained import ReleaseError

__version__ = "0.1.0"

__all__ = [
    "Embedder",
    "InputError",
    "ReleaseError",
    "get_scene_embeddings",
    "get_timestamp_embeddings",
    "load_model",
]
