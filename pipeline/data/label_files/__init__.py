"""Files of labels that others made: reading them, joining them to the images."""
