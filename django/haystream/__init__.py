"""Django's side of Haystream."""

from .events import BusinessMetric

__all__ = ["BusinessMetric"]
__version__ = "0.1.0"
