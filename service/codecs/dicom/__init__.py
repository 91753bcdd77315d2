"""CT slices in DICOM: read within bounds to Hounsfield units, written again as derived images."""

import logging
import warnings

from service.codecs.dicom.confidentiality import Pseudonyms
from service.codecs.dicom.derived import STATISTICS, write_derived
from service.codecs.dicom.example import write_example
from service.codecs.dicom.images import Image, read_image, read_images
from service.codecs.dicom.provenance import Derivation

__all__ = [
    "STATISTICS",
    "Derivation",
    "Image",
    "Pseudonyms",
    "read_image",
    "read_images",
    "write_derived",
    "write_example",
]

# pydicom warns by quoting values, and a value of a DICOM file may name a patient.
logging.getLogger("pydicom").setLevel(logging.CRITICAL)
warnings.filterwarnings("ignore", module="pydicom")
