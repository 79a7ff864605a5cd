"""One JSON Schema per verb; read through :func:`schemas.load_schema`."""
