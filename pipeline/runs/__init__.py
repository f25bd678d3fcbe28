"""What a run is: settings, inputs, key, record, and carrying it out."""
