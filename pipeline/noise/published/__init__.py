"""Published label files: recognised by content, verified, made anew."""
