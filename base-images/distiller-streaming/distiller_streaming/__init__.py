"""4D-STEM frames and their centre of mass, as messages: what the operators of a microscope's pipelines share."""

from distiller_streaming.batches import BatchedFrames
from distiller_streaming.centers import com_sparse, fill_nans
from distiller_streaming.counting import count_electrons
from distiller_streaming.errors import DistillerStreamingError, FrameFormatError, ScanFileError, SettingError
from distiller_streaming.headers import FramesHeader
from distiller_streaming.maps import ScanMaps
from distiller_streaming.partials import COMPartial
from distiller_streaming.simulation import Simulation, true_field

__all__ = [
    "BatchedFrames",
    "COMPartial",
    "DistillerStreamingError",
    "FrameFormatError",
    "FramesHeader",
    "ScanFileError",
    "ScanMaps",
    "SettingError",
    "Simulation",
    "com_sparse",
    "count_electrons",
    "fill_nans",
    "true_field",
]
