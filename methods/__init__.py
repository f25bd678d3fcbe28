"""One runnable file per system; the file system is the registry."""
