"""Which concept a mention means: by its name, by names near it, or not at all when that is not sure enough."""

from models.linking.linker import Linker, load_linker

__all__ = ["Linker", "load_linker"]
