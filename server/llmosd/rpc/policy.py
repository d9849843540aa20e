"""Which role each method needs: one row per method, and a method without one is denied.

`changes` says that the call leaves something behind; then its line in the audit log is on disk
before the caller hears how the call ended.
"""

from collections.abc import Mapping
from typing import NamedTuple

from llmosd.roles import Role


class Rule(NamedTuple):
    """What a method needs."""

    role: Role
    changes: bool = False


_OPEN = Rule(Role.NONE)
_USE = Rule(Role.USE)
_LOOK = Rule(Role.MANAGE)
_MANAGE = Rule(Role.MANAGE, changes=True)
_LOOK_ADMIN = Rule(Role.ADMIN)
_ADMIN = Rule(Role.ADMIN, changes=True)

_TABLE: dict[str, list[tuple[Rule, str]]] = {
    "llmos.v1.GenerationService": [
        (_USE, "Generate StreamGenerate Converse CancelGeneration CountTokens"),
        (_MANAGE, "BatchGenerate"),
    ],
    "llmos.v1.ScoringService": [
        (_USE, "ScoreText ScoreChoices ClassifyText EmbedText ExplainGeneration"),
    ],
    "llmos.v1.TokenizationService": [(_USE, "Tokenize Detokenize RenderChat")],
    "llmos.v1.LatentService": [
        (_USE, "EncodeText DecodeLatents SampleTexts InterpolateTexts CompressTexts"),
    ],
    "llmos.v1.ModelService": [
        (_USE, "GetModel ListModels GetModelVersion ListModelVersions"),
        (_LOOK, "ListTensors ListPromotions GetGatePolicy ExportModel"),
        (_MANAGE, "UploadModel LoadModel UnloadModel PromoteModelVersion RollbackModel"),
        (_MANAGE, "SetModelAlias DeleteModelAlias SetGatePolicy"),
        (_ADMIN, "DeleteModel DeleteModelVersion"),
    ],
    "llmos.v1.DatasetService": [
        (_LOOK, "GetDataset ListDatasets GetDatasetVersion ListDatasetVersions ListExamples"),
        (_MANAGE, "UploadDataset PreprocessDataset"),
        (_ADMIN, "DeleteDataset DeleteDatasetVersion"),
    ],
    "llmos.v1.TrainingService": [
        (_LOOK, "EstimateTraining ListCheckpoints"),
        (_MANAGE, "TrainModel SaveCheckpoint"),
    ],
    "llmos.v1.OptimizationService": [(_MANAGE, "OptimizeModel SweepTraining")],
    "llmos.v1.EvaluationService": [
        (_LOOK, "GetEvaluation ListEvaluations ListEvaluationExamples CompareEvaluations"),
        (_LOOK, "ListSuites"),
        (_MANAGE, "EvaluateModel"),
        (_ADMIN, "DeleteEvaluation"),
    ],
    "llmos.v1.FeedbackService": [
        (_USE, "CreateFeedback"),
        (_LOOK, "ListFeedback RateModels"),
        (_MANAGE, "ExportFeedback LearnFromFeedback"),
        (_ADMIN, "DeleteFeedback"),
    ],
    "google.longrunning.Operations": [
        (_LOOK, "GetOperation ListOperations WaitOperation"),
        (_MANAGE, "CancelOperation"),
        (_ADMIN, "DeleteOperation"),
    ],
    "llmos.v1.OperationService": [
        (_LOOK, "WatchOperation"),
        (_MANAGE, "PauseOperation ResumeOperation"),
    ],
    "llmos.v1.AdminService": [
        (_USE, "GetServerInfo"),
        (_LOOK, "WatchLoad GetMetrics GetLogLevel CheckServer GetConfig"),
        (_ADMIN, "SetLogLevel ReloadConfig BackUpState CollectGarbage"),
    ],
    "llmos.v1.AccessService": [(_LOOK_ADMIN, "ListTokens"), (_ADMIN, "CreateToken RevokeToken")],
    "grpc.health.v1.Health": [(_OPEN, "Check"), (_USE, "Watch")],
    "grpc.reflection.v1alpha.ServerReflection": [(_USE, "ServerReflectionInfo")],
}


def _rules(table: Mapping[str, list[tuple[Rule, str]]]) -> dict[str, Rule]:
    """The table by the path that calls have; raises ValueError for a method that is in it twice."""
    rules: dict[str, Rule] = {}
    for service, rows in table.items():
        for rule, methods in rows:
            for method in methods.split():
                path = f"/{service}/{method}"
                if path in rules:
                    raise ValueError(f"two rows for {path}")
                rules[path] = rule
    return rules


RULES = _rules(_TABLE)
_UNKNOWN = Rule(Role.ADMIN, changes=True)


def rule_of(method: str) -> Rule | None:
    """The rule of a method by its path, such as /llmos.v1.ModelService/GetModel; None: no row."""
    return RULES.get(method)


def audited(rule: Rule | None) -> Rule:
    """How a call is written down that may have no rule: as the gravest."""
    return rule or _UNKNOWN
