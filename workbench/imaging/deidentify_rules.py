"""Which elements of a DICOM header get through de-identification, by keyword. Data for `deidentify_dicom`."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


KEPT = _words(
    """
    SOPClassUID Modality ImageType FrameType ConversionType PresentationIntentType Manufacturer
    PatientSex PatientAge PatientSize PatientWeight BodyPartExamined Laterality ImageLaterality
    FrameLaterality ViewPosition PatientPosition PatientOrientation SeriesNumber InstanceNumber
    AcquisitionNumber ImagesInAcquisition PositionReferenceIndicator SliceThickness
    SpacingBetweenSlices SliceLocation ImagePositionPatient ImageOrientationPatient PixelSpacing
    ImagerPixelSpacing NominalScannedPixelSpacing PixelAspectRatio
    EstimatedRadiographicMagnificationFactor GantryDetectorTilt DataCollectionDiameter
    ReconstructionDiameter DistanceSourceToDetector DistanceSourceToPatient KVP ExposureTime
    XRayTubeCurrent Exposure SpiralPitchFactor RotationDirection ScanningSequence SequenceVariant
    ScanOptions MRAcquisitionType AngioFlag RepetitionTime EchoTime InversionTime FlipAngle
    EchoNumbers EchoTrainLength NumberOfAverages ImagingFrequency ImagedNucleus
    MagneticFieldStrength PixelBandwidth PercentSampling PercentPhaseFieldOfView
    NumberOfPhaseEncodingSteps InPlanePhaseEncodingDirection AcquisitionMatrix TriggerTime
    EffectiveEchoTime DiffusionBValue DiffusionGradientOrientation DiffusionDirectionality
    TemporalPositionIdentifier NumberOfTemporalPositions FrameTime FrameTimeVector
    FrameIncrementPointer FrameDelay CineRate RecommendedDisplayFrameRate StackID
    InStackPositionNumber FrameAcquisitionNumber DimensionIndexValues DimensionIndexPointer
    FunctionalGroupPointer DimensionOrganizationType TemporalPositionIndex PixelPresentation
    VolumetricProperties VolumeBasedCalculationTechnique ComplexImageComponent AcquisitionContrast
    RegionSpatialFormat RegionDataType RegionFlags RegionLocationMinX0 RegionLocationMinY0
    RegionLocationMaxX1 RegionLocationMaxY1 ReferencePixelX0 ReferencePixelY0
    PhysicalUnitsXDirection PhysicalUnitsYDirection ReferencePixelPhysicalValueX
    ReferencePixelPhysicalValueY PhysicalDeltaX PhysicalDeltaY Units CountsSource SeriesType
    DecayCorrection CorrectedImage NumberOfSlices NumberOfTimeSlices ImageIndex FrameReferenceTime
    ActualFrameDuration DecayFactor DoseCalibrationFactor RadionuclideTotalDose RadionuclideHalfLife
    RadionuclidePositronFraction CollimatorType SamplesPerPixel PhotometricInterpretation
    PlanarConfiguration NumberOfFrames Rows Columns BitsAllocated BitsStored HighBit
    PixelRepresentation SmallestImagePixelValue LargestImagePixelValue PixelPaddingValue
    PixelPaddingRangeLimit RedPaletteColorLookupTableDescriptor
    GreenPaletteColorLookupTableDescriptor BluePaletteColorLookupTableDescriptor
    RedPaletteColorLookupTableData GreenPaletteColorLookupTableData BluePaletteColorLookupTableData
    SegmentedRedPaletteColorLookupTableData SegmentedGreenPaletteColorLookupTableData
    SegmentedBluePaletteColorLookupTableData
    LUTDescriptor LUTData ModalityLUTType PresentationLUTShape PixelIntensityRelationship
    PixelIntensityRelationshipSign RescaleIntercept RescaleSlope RescaleType WindowCenter
    WindowWidth VOILUTFunction LossyImageCompression LossyImageCompressionRatio
    LossyImageCompressionMethod BurnedInAnnotation QualityControlImage
    """
)
"""Kept where the value is a number, a word of the standard, or pixels of a palette; emptied otherwise."""

PET_ONLY = frozenset({"PatientSize", "PatientWeight"})
"""Needed for standardised uptake values, and for nothing else."""

SEQUENCES = _words(
    """
    SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence PixelMeasuresSequence
    PlanePositionSequence PlaneOrientationSequence FrameContentSequence
    PixelValueTransformationSequence FrameVOILUTSequence CTImageFrameTypeSequence
    MRImageFrameTypeSequence PETFrameTypeSequence FrameAnatomySequence AnatomicRegionSequence
    ViewCodeSequence ViewModifierCodeSequence ModalityLUTSequence VOILUTSequence MREchoSequence
    MRDiffusionSequence DiffusionGradientDirectionSequence MRImagingModifierSequence
    MRTimingAndRelatedParametersSequence SequenceOfUltrasoundRegions DimensionOrganizationSequence
    DimensionIndexSequence RadiopharmaceuticalInformationSequence RadionuclideCodeSequence
    """
)
"""Walked through by the same rules."""

REMAPPED = frozenset(
    [
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "SOPInstanceUID",
        "FrameOfReferenceUID",
        "DimensionOrganizationUID",
        "ConcatenationUID",
    ]
)
"""Replaced by keyed UIDs, the same for the same."""

DATES = _words(
    """
    StudyDate SeriesDate AcquisitionDate ContentDate StudyTime SeriesTime AcquisitionTime
    ContentTime AcquisitionDateTime FrameAcquisitionDateTime FrameReferenceDateTime
    RadiopharmaceuticalStartTime RadiopharmaceuticalStartDateTime
    """
)
"""Shifted where that was asked for, and dropped otherwise."""

EMPTY = ("StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "PatientBirthDate", "StudyID")
"""Elements that every image must have and that may be empty (type 2)."""

DUMMIES = {
    "ManufacturerModelName": "REMOVED",
    "DeviceSerialNumber": "REMOVED",
    "SoftwareVersions": "REMOVED",
    "ContentDate": "19000101",
    "ContentTime": "000000",
    "AcquisitionDateTime": "19000101000000",
    "FrameAcquisitionDateTime": "19000101000000",
    "FrameReferenceDateTime": "19000101000000",
}
"""What stands in enhanced images, where these must have a value (type 1)."""
