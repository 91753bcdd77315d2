"""Ask a Quartet inference service: `Client` blocks, `AsyncClient` is awaited, and both have the same methods.

>>> from quartet_client import Client
>>> with Client("http://127.0.0.1:3000") as client:
...     answer = client.digits.classify("seven.png")
"""

from quartet_client.answers import (
    Change,
    Digit,
    Digits,
    ImageLabel,
    ImageLabels,
    Model,
    ModelSummary,
    Reason,
    Row,
    RowError,
    Rows,
    Samples,
    Score,
    Scores,
    TextLabel,
    TextLabels,
)
from quartet_client.async_client import AsyncClient
from quartet_client.call import OnError, Options
from quartet_client.client import Client
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

__version__ = "0.1.0"

__all__ = [
    "AnswerError",
    "AsyncClient",
    "BadRequest",
    "Change",
    "Client",
    "ConnectionFailed",
    "DeadlineExceeded",
    "Digit",
    "Digits",
    "Forbidden",
    "ImageLabel",
    "ImageLabels",
    "Model",
    "ModelSummary",
    "NotFound",
    "OnError",
    "Options",
    "Overloaded",
    "QuartetError",
    "Reason",
    "Row",
    "RowError",
    "Rows",
    "Samples",
    "Score",
    "Scores",
    "ServiceFailed",
    "TextLabel",
    "TextLabels",
]
