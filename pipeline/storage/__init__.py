"""Folders and buckets behind one door: names, bytes, and writes that happen once or not at all."""
