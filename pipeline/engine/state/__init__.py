"""One partition's state on disk, and the checkpoint that says where it stands."""
