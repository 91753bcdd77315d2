"""The bundle: the one thing that training hands to serving, and the contract between them.

    models/DEFAULTS                       the model that answers for each kind where a request names none
    models/<name>/CURRENT                 the version that is served, replaced atomically
    models/<name>/RELEASES                how it came to be served, where `service.release` was used
    models/<name>/ROLLOUT                 which candidate is tried on live traffic, and how, or was
    models/<name>/<version>/bundle.json   the manifest: everything the service needs to know
                            model.onnx    the main graph, arithmetic pre- and post-processing included
                            *.onnx        further graphs, as the manifest names them; weights may lie in model.onnx
                            golden.npz    inputs and the outputs they must give, see `Bundle.golden`
                            card.md       the model card, for people
                            seal.json     the signature, where it is signed

    record      what all records have in common
    signature   tensors, axes and graphs
    cascade     when a second graph answers
    specs       what a manifest says of each kind of task
    words       how a text is taken apart
    manifest    `bundle.json`
    files       a version on disk
    seal        its signature

A version never changes, its card and what the card shows aside. The manifest refuses unknown keys, so a bundle written
for another contract fails when it is read, not when it is asked.
"""

from service.bundle.cascade import Cascade, picked, put
from service.bundle.files import (
    CARD,
    CURRENT,
    DEFAULTS,
    GOLDEN,
    GRAPH,
    MANIFEST,
    RELEASES,
    ROLLOUT,
    SINGLE,
    Bundle,
    BundleError,
    current,
    current_version,
    defaults_of,
    file_sha256,
    names,
    read_bounded,
    replace_text,
    write_current,
    write_manifest,
)
from service.bundle.manifest import (
    Histogram,
    Manifest,
    Metric,
    Precision,
    Provenance,
    Source,
    Start,
    Tolerance,
    json_schema,
)
from service.bundle.record import NAME, VERSION, Arrays, Family, Name, Record, Version, repeat_rows, rows_of, size_of
from service.bundle.signature import BACK, ENCODE, EXPLANATION, MAIN, Asset, Axis, Graph, Tensor
from service.bundle.specs import (
    Attribute,
    ClipClassification,
    CreditScoring,
    CtDenoising,
    DigitClassification,
    ImageClassification,
    ImageTransformation,
    Points,
    Quantity,
    SalesForecasting,
    SampleGeneration,
    SampleTranslation,
    SeriesForecasting,
    TabularPrediction,
    TaskSpec,
    TensorPrediction,
    TextClassification,
)
from service.bundle.words import Tokeniser, Word

__all__ = [
    "CARD",
    "CURRENT",
    "DEFAULTS",
    "BACK",
    "ENCODE",
    "EXPLANATION",
    "GOLDEN",
    "GRAPH",
    "MAIN",
    "MANIFEST",
    "NAME",
    "RELEASES",
    "ROLLOUT",
    "SINGLE",
    "VERSION",
    "Arrays",
    "Asset",
    "Attribute",
    "Axis",
    "Bundle",
    "BundleError",
    "Cascade",
    "ClipClassification",
    "CreditScoring",
    "Points",
    "Precision",
    "CtDenoising",
    "DigitClassification",
    "Family",
    "Graph",
    "Histogram",
    "ImageClassification",
    "ImageTransformation",
    "Manifest",
    "Metric",
    "Name",
    "Provenance",
    "Quantity",
    "Record",
    "SalesForecasting",
    "SampleGeneration",
    "SampleTranslation",
    "SeriesForecasting",
    "Source",
    "Start",
    "TabularPrediction",
    "TaskSpec",
    "Tensor",
    "TensorPrediction",
    "TextClassification",
    "Tokeniser",
    "Tolerance",
    "Version",
    "Word",
    "current",
    "current_version",
    "defaults_of",
    "file_sha256",
    "json_schema",
    "names",
    "picked",
    "put",
    "read_bounded",
    "replace_text",
    "repeat_rows",
    "rows_of",
    "size_of",
    "write_current",
    "write_manifest",
]
