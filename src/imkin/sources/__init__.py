"""Sources: each module yields the items of one kind of place."""
