"""Tables as files: fitting frames to the schema, writing, sealing, reading and checking them."""
