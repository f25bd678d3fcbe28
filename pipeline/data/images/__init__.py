"""From encoded images to what networks see: decoding, resizing, views, batches made by workers."""
