"""Results on one page, with pictures and beside published ones."""
