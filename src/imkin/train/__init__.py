"""Training of the built-in network, and of one's own. The only importer of torch (the extra `train`)."""
