"""Packed audio: `pack` writes shards of int16 samples, `crops` draws training batches from them."""
