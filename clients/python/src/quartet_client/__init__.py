"""Ask a Quartet inference service: `Client` blocks, `AsyncClient` is awaited, and both have the same methods.

>>> from quartet_client import Client
>>> with Client("http://127.0.0.1:3000") as client:
...     answer = client.digits.classify("seven.png")
"""

from quartet_client.answers import (
    Change,
    ClipLabel,
    ClipLabels,
    Digit,
    Digits,
    ImageLabel,
    ImageLabels,
    Model,
    ModelSummary,
    Reason,
    Received,
    Row,
    RowError,
    Rows,
    Score,
    Scores,
    TextLabel,
    TextLabels,
    Word,
)
from quartet_client.async_client import AsyncClient
from quartet_client.call import OnError, Options
from quartet_client.client import Client
from quartet_client.drawn import Latents, Reconstructions, Samples, TransformedImages, Translations
from quartet_client.errors import (
    AnswerError,
    BadRequest,
    ConnectionFailed,
    DeadlineExceeded,
    Forbidden,
    NotFound,
    Overloaded,
    QuartetError,
    ServiceFailed,
)
from quartet_client.forecasts import Forecast, Forecasts, Interval, SalesForecasts, SalesOption

__version__ = "0.1.0"

__all__ = [
    "AnswerError",
    "AsyncClient",
    "BadRequest",
    "Change",
    "Client",
    "ClipLabel",
    "ClipLabels",
    "ConnectionFailed",
    "DeadlineExceeded",
    "Digit",
    "Digits",
    "Forbidden",
    "Forecast",
    "Forecasts",
    "ImageLabel",
    "ImageLabels",
    "Interval",
    "Latents",
    "Model",
    "ModelSummary",
    "NotFound",
    "OnError",
    "Options",
    "Overloaded",
    "QuartetError",
    "Reason",
    "Received",
    "Reconstructions",
    "Row",
    "RowError",
    "Rows",
    "SalesForecasts",
    "SalesOption",
    "Samples",
    "Score",
    "Scores",
    "ServiceFailed",
    "TextLabel",
    "TextLabels",
    "TransformedImages",
    "Translations",
    "Word",
]
