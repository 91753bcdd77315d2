"""Endpoints of pictures, clips, rows, texts and series.

`endpoints.py` is made of this file by `python make_sync.py`; change it here.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from quartet_client import bodies
from quartet_client.answers import ClipLabels, Digits, ImageLabels, Rows, Scores, TextLabels
from quartet_client.base import Endpoint
from quartet_client.bodies import Clip, Histories, Picture, Table
from quartet_client.call import OnError, Options, call
from quartet_client.drawn import TransformedImages
from quartet_client.forecasts import Forecasts, SalesForecasts


class DigitsEndpoint(Endpoint):
    def classify(
        self,
        images: "Picture | Sequence[Picture]",
        *,
        many: bool = False,
        explain: bool = False,
        **options: Unpack[Options],
    ) -> Digits:
        """Read handwritten digits.

        `images`: a picture file, its bytes, a Pillow image, a list of these; or an array [28, 28] or [N, 28, 28] of 0
        to 255. `many` looks for several digits in each picture, `explain` adds heat maps.
        """
        asked = {"many": many or None, "explain": explain or None}
        body = bodies.pictures(images)
        return self._client.send(call("/v1/digits/classify", Digits.read, options, parameters=asked, **body))


class ImagesEndpoint(Endpoint):
    def classify(
        self, images: "Picture | Sequence[Picture]", *, explain: bool = False, **options: Unpack[Options]
    ) -> ImageLabels:
        """Say what pictures show. `images` as for digits; an array has the size of the model."""
        body = bodies.pictures(images)
        asked = {"explain": explain or None}
        return self._client.send(call("/v1/images/classify", ImageLabels.read, options, parameters=asked, **body))

    def transform(self, images: "Picture | Sequence[Picture]", **options: Unpack[Options]) -> TransformedImages:
        """Make other pictures of pictures, as the model does, which may take the noise out of them."""
        body = bodies.pictures(images)
        return self._client.send(call("/v1/images/transform", TransformedImages.read, options, **body))


class ClipsEndpoint(Endpoint):
    def classify(self, clips: "Clip | Sequence[Clip]", **options: Unpack[Options]) -> ClipLabels:
        """Say what short clips show.

        `clips`: an animation (GIF, WebP, APNG), its bytes, or a list of these; a list of lists of pictures, a list for
        each clip; or an array [frames, H, W] or [N, frames, H, W] of 0 to 255, of the size that the model takes.
        """
        return self._client.send(call("/v1/clips/classify", ClipLabels.read, options, **bodies.clips(clips)))


class CreditEndpoint(Endpoint):
    def score(
        self, applicants: Table, *, explain: bool = False, on_error: OnError = "refuse", **options: Unpack[Options]
    ) -> Scores:
        """The probability that applicants do not pay back, and a decision.

        `applicants`: a mapping, several, a pandas frame, a CSV file or its bytes. `explain` adds points and reasons.
        `on_error="skip"` answers the rows that are right: `rows` says which, `errors` what is wrong with the others.
        """
        body = bodies.rows(applicants, "applicants")
        asked = {"explain": explain or None, "on_error": None if on_error == "refuse" else on_error}
        return self._client.send(call("/v1/credit/score", Scores.read, options, parameters=asked, **body))


class TablesEndpoint(Endpoint):
    def predict(self, rows: Table, *, on_error: OnError = "refuse", **options: Unpack[Options]) -> Rows:
        """A class or numbers for rows of a table. `rows`, with the model's attributes, and `on_error` as for credit."""
        body = bodies.rows(rows, "rows")
        asked = {"on_error": None if on_error == "refuse" else on_error}
        return self._client.send(call("/v1/tables/predict", Rows.read, options, parameters=asked, **body))


class TextsEndpoint(Endpoint):
    def classify(
        self,
        texts: str | Sequence[str],
        *,
        explain: bool = False,
        **options: Unpack[Options],
    ) -> TextLabels:
        """The class of each text. `explain` adds the words that spoke for it and against it."""
        given, asked = [texts] if isinstance(texts, str) else list(texts), {"explain": explain or None}
        read, path = TextLabels.read, "/v1/texts/classify"
        return self._client.send(call(path, read, options, parameters=asked, json={"texts": given}))


class SeriesEndpoint(Endpoint):
    def forecast(
        self,
        series: Histories,
        *,
        horizon: int | None = None,
        levels: Sequence[float] | None = None,
        **options: Unpack[Options],
    ) -> Forecasts:
        """What comes next, and between which bounds it lies.

        `series`: the values of one history in the order of time, or of several; an array [steps] or [N, steps]; a
        pandas frame with a history in each column; a CSV file or its bytes. `horizon` is how many steps to forecast,
        `levels` how probably a value lies in each interval; without them as many as the model has.
        """
        asked = {"horizon": horizon, "levels": None if levels is None else ",".join(map(str, levels))}
        body = bodies.histories(series)
        return self._client.send(call("/v1/series/forecast", Forecasts.read, options, parameters=asked, **body))


class SalesEndpoint(Endpoint):
    def forecast(
        self,
        forecasts: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        seed: int | None = None,
        **options: Unpack[Options],
    ) -> SalesForecasts:
        """How likely years are to reach their targets. The same `seed` gives the same answer.

        `forecasts`: a mapping or several, with `history`, twelve months for each earlier year; `months`, how many of
        this year have passed; `reached`, what they sold together; and the `target` of the year.
        """
        body, read = bodies.rows(forecasts, "forecasts"), SalesForecasts.read
        return self._client.send(call("/v1/sales/forecast", read, options, parameters={"seed": seed}, **body))
