"""One file per published layout: from files as they are handed out to a `Source`."""
