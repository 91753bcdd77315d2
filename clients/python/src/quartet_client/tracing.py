"""The trace that a call belongs to, where the application records traces with OpenTelemetry."""


def headers() -> dict[str, str]:
    try:
        from opentelemetry.propagate import inject
    except ImportError:
        return {}
    carrier: dict[str, str] = {}
    inject(carrier)
    return carrier
