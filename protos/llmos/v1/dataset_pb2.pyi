import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DatasetKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DATASET_KIND_UNSPECIFIED: _ClassVar[DatasetKind]
    DATASET_KIND_TEXT: _ClassVar[DatasetKind]
    DATASET_KIND_CHAT: _ClassVar[DatasetKind]
    DATASET_KIND_PAIRS: _ClassVar[DatasetKind]
    DATASET_KIND_LABELLED: _ClassVar[DatasetKind]
    DATASET_KIND_GRADED: _ClassVar[DatasetKind]
    DATASET_KIND_PREFERENCE: _ClassVar[DatasetKind]
    DATASET_KIND_RATED: _ClassVar[DatasetKind]
    DATASET_KIND_CHOICES: _ClassVar[DatasetKind]
    DATASET_KIND_CHECKS: _ClassVar[DatasetKind]

class DatasetSplit(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DATASET_SPLIT_UNSPECIFIED: _ClassVar[DatasetSplit]
    DATASET_SPLIT_TRAIN: _ClassVar[DatasetSplit]
    DATASET_SPLIT_VALIDATION: _ClassVar[DatasetSplit]
    DATASET_SPLIT_TEST: _ClassVar[DatasetSplit]

class UnicodeForm(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    UNICODE_FORM_UNSPECIFIED: _ClassVar[UnicodeForm]
    UNICODE_FORM_NFC: _ClassVar[UnicodeForm]
    UNICODE_FORM_NFKC: _ClassVar[UnicodeForm]

class StopWords(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STOP_WORDS_UNSPECIFIED: _ClassVar[StopWords]
    STOP_WORDS_ENGLISH: _ClassVar[StopWords]
    STOP_WORDS_CHINESE: _ClassVar[StopWords]

class PersonalData(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PERSONAL_DATA_UNSPECIFIED: _ClassVar[PersonalData]
    PERSONAL_DATA_EMAIL: _ClassVar[PersonalData]
    PERSONAL_DATA_PHONE: _ClassVar[PersonalData]
    PERSONAL_DATA_CREDIT_CARD: _ClassVar[PersonalData]
    PERSONAL_DATA_IBAN: _ClassVar[PersonalData]
    PERSONAL_DATA_IP_ADDRESS: _ClassVar[PersonalData]
    PERSONAL_DATA_SSN: _ClassVar[PersonalData]
    PERSONAL_DATA_CHINESE_ID: _ClassVar[PersonalData]
    PERSONAL_DATA_SECRET: _ClassVar[PersonalData]
DATASET_KIND_UNSPECIFIED: DatasetKind
DATASET_KIND_TEXT: DatasetKind
DATASET_KIND_CHAT: DatasetKind
DATASET_KIND_PAIRS: DatasetKind
DATASET_KIND_LABELLED: DatasetKind
DATASET_KIND_GRADED: DatasetKind
DATASET_KIND_PREFERENCE: DatasetKind
DATASET_KIND_RATED: DatasetKind
DATASET_KIND_CHOICES: DatasetKind
DATASET_KIND_CHECKS: DatasetKind
DATASET_SPLIT_UNSPECIFIED: DatasetSplit
DATASET_SPLIT_TRAIN: DatasetSplit
DATASET_SPLIT_VALIDATION: DatasetSplit
DATASET_SPLIT_TEST: DatasetSplit
UNICODE_FORM_UNSPECIFIED: UnicodeForm
UNICODE_FORM_NFC: UnicodeForm
UNICODE_FORM_NFKC: UnicodeForm
STOP_WORDS_UNSPECIFIED: StopWords
STOP_WORDS_ENGLISH: StopWords
STOP_WORDS_CHINESE: StopWords
PERSONAL_DATA_UNSPECIFIED: PersonalData
PERSONAL_DATA_EMAIL: PersonalData
PERSONAL_DATA_PHONE: PersonalData
PERSONAL_DATA_CREDIT_CARD: PersonalData
PERSONAL_DATA_IBAN: PersonalData
PERSONAL_DATA_IP_ADDRESS: PersonalData
PERSONAL_DATA_SSN: PersonalData
PERSONAL_DATA_CHINESE_ID: PersonalData
PERSONAL_DATA_SECRET: PersonalData

class Dataset(_message.Message):
    __slots__ = ("name", "create_time", "newest", "version_count")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    NEWEST_FIELD_NUMBER: _ClassVar[int]
    VERSION_COUNT_FIELD_NUMBER: _ClassVar[int]
    name: str
    create_time: _timestamp_pb2.Timestamp
    newest: DatasetVersion
    version_count: int
    def __init__(self, name: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., newest: _Optional[_Union[DatasetVersion, _Mapping]] = ..., version_count: _Optional[int] = ...) -> None: ...

class DatasetVersion(_message.Message):
    __slots__ = ("name", "create_time", "kind", "row_count", "train_rows", "validation_rows", "test_rows", "byte_size", "digest", "license", "source", "lineage", "recipe", "report")
    class LineageEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ROW_COUNT_FIELD_NUMBER: _ClassVar[int]
    TRAIN_ROWS_FIELD_NUMBER: _ClassVar[int]
    VALIDATION_ROWS_FIELD_NUMBER: _ClassVar[int]
    TEST_ROWS_FIELD_NUMBER: _ClassVar[int]
    BYTE_SIZE_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    LICENSE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    LINEAGE_FIELD_NUMBER: _ClassVar[int]
    RECIPE_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    name: str
    create_time: _timestamp_pb2.Timestamp
    kind: DatasetKind
    row_count: int
    train_rows: int
    validation_rows: int
    test_rows: int
    byte_size: int
    digest: str
    license: str
    source: str
    lineage: _containers.ScalarMap[str, str]
    recipe: Recipe
    report: PreprocessReport
    def __init__(self, name: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., kind: _Optional[_Union[DatasetKind, str]] = ..., row_count: _Optional[int] = ..., train_rows: _Optional[int] = ..., validation_rows: _Optional[int] = ..., test_rows: _Optional[int] = ..., byte_size: _Optional[int] = ..., digest: _Optional[str] = ..., license: _Optional[str] = ..., source: _Optional[str] = ..., lineage: _Optional[_Mapping[str, str]] = ..., recipe: _Optional[_Union[Recipe, _Mapping]] = ..., report: _Optional[_Union[PreprocessReport, _Mapping]] = ...) -> None: ...

class Recipe(_message.Message):
    __slots__ = ("unicode", "personal_data", "lowercase", "segment_chinese", "stop_words", "strip_punctuation", "deduplicate", "near_duplicates", "split", "noise")
    UNICODE_FIELD_NUMBER: _ClassVar[int]
    PERSONAL_DATA_FIELD_NUMBER: _ClassVar[int]
    LOWERCASE_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_CHINESE_FIELD_NUMBER: _ClassVar[int]
    STOP_WORDS_FIELD_NUMBER: _ClassVar[int]
    STRIP_PUNCTUATION_FIELD_NUMBER: _ClassVar[int]
    DEDUPLICATE_FIELD_NUMBER: _ClassVar[int]
    NEAR_DUPLICATES_FIELD_NUMBER: _ClassVar[int]
    SPLIT_FIELD_NUMBER: _ClassVar[int]
    NOISE_FIELD_NUMBER: _ClassVar[int]
    unicode: UnicodeForm
    personal_data: _containers.RepeatedScalarFieldContainer[PersonalData]
    lowercase: bool
    segment_chinese: bool
    stop_words: StopWords
    strip_punctuation: bool
    deduplicate: bool
    near_duplicates: float
    split: SplitShares
    noise: Noise
    def __init__(self, unicode: _Optional[_Union[UnicodeForm, str]] = ..., personal_data: _Optional[_Iterable[_Union[PersonalData, str]]] = ..., lowercase: _Optional[bool] = ..., segment_chinese: _Optional[bool] = ..., stop_words: _Optional[_Union[StopWords, str]] = ..., strip_punctuation: _Optional[bool] = ..., deduplicate: _Optional[bool] = ..., near_duplicates: _Optional[float] = ..., split: _Optional[_Union[SplitShares, _Mapping]] = ..., noise: _Optional[_Union[Noise, _Mapping]] = ...) -> None: ...

class SplitShares(_message.Message):
    __slots__ = ("validation", "test", "salt")
    VALIDATION_FIELD_NUMBER: _ClassVar[int]
    TEST_FIELD_NUMBER: _ClassVar[int]
    SALT_FIELD_NUMBER: _ClassVar[int]
    validation: float
    test: float
    salt: str
    def __init__(self, validation: _Optional[float] = ..., test: _Optional[float] = ..., salt: _Optional[str] = ...) -> None: ...

class Noise(_message.Message):
    __slots__ = ("probability", "copies", "seed")
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    COPIES_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    probability: float
    copies: int
    seed: int
    def __init__(self, probability: _Optional[float] = ..., copies: _Optional[int] = ..., seed: _Optional[int] = ...) -> None: ...

class PreprocessReport(_message.Message):
    __slots__ = ("rows_read", "rows_written", "rows_emptied", "duplicates", "near_duplicates", "rows_added", "personal_data", "rows_with_personal_data")
    class PersonalDataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    ROWS_READ_FIELD_NUMBER: _ClassVar[int]
    ROWS_WRITTEN_FIELD_NUMBER: _ClassVar[int]
    ROWS_EMPTIED_FIELD_NUMBER: _ClassVar[int]
    DUPLICATES_FIELD_NUMBER: _ClassVar[int]
    NEAR_DUPLICATES_FIELD_NUMBER: _ClassVar[int]
    ROWS_ADDED_FIELD_NUMBER: _ClassVar[int]
    PERSONAL_DATA_FIELD_NUMBER: _ClassVar[int]
    ROWS_WITH_PERSONAL_DATA_FIELD_NUMBER: _ClassVar[int]
    rows_read: int
    rows_written: int
    rows_emptied: int
    duplicates: int
    near_duplicates: int
    rows_added: int
    personal_data: _containers.ScalarMap[str, int]
    rows_with_personal_data: int
    def __init__(self, rows_read: _Optional[int] = ..., rows_written: _Optional[int] = ..., rows_emptied: _Optional[int] = ..., duplicates: _Optional[int] = ..., near_duplicates: _Optional[int] = ..., rows_added: _Optional[int] = ..., personal_data: _Optional[_Mapping[str, int]] = ..., rows_with_personal_data: _Optional[int] = ...) -> None: ...
