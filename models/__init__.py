"""The machine learning and text work. Pure: no Ray, no HTTP, no store."""
