"""Who is told of whom: the services built on what the daemon has, and on each other."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from llmosd.config import Config
from llmosd.observing.observation import Observation
from llmosd.operations.durable import DurableJobs
from llmosd.operations.manager import OperationManager
from llmosd.rpc import batch, evaluations, learning, optimizations, preprocessing, sweeps
from llmosd.rpc.access_servicer import AccessServicer
from llmosd.rpc.admin_servicer import AdminServicer
from llmosd.rpc.backups import Backups
from llmosd.rpc.batch import Batches
from llmosd.rpc.dataset_servicer import DatasetServicer
from llmosd.rpc.datasets import Datasets
from llmosd.rpc.encoder import Encoder
from llmosd.rpc.evaluation_servicer import EvaluationServicer
from llmosd.rpc.evaluations import Evaluations
from llmosd.rpc.explainer import Explainer
from llmosd.rpc.exports import Exports
from llmosd.rpc.feedback_book import FeedbackBook
from llmosd.rpc.feedback_servicer import FeedbackServicer
from llmosd.rpc.garbage import Garbage
from llmosd.rpc.gates import EvaluationGate, Gate, LicenseGate
from llmosd.rpc.generation_servicer import GenerationServicer
from llmosd.rpc.generator import Generator
from llmosd.rpc.guard import load_policy
from llmosd.rpc.heads import Heads
from llmosd.rpc.inside_jobs import JobStarter
from llmosd.rpc.judging import Judge
from llmosd.rpc.latent_servicer import LatentServicer
from llmosd.rpc.learning import Learning
from llmosd.rpc.model_servicer import ModelServicer
from llmosd.rpc.operation_servicers import OperationServicer, OperationsServicer
from llmosd.rpc.optimization_servicer import OptimizationServicer
from llmosd.rpc.optimizations import Optimizations
from llmosd.rpc.preprocessing import Preprocessing
from llmosd.rpc.probation import Probations
from llmosd.rpc.promoter import Promoter
from llmosd.rpc.publishing import Publisher
from llmosd.rpc.quotas import Quotas
from llmosd.rpc.request_watch import RequestWatch
from llmosd.rpc.scoring_servicer import ScoringServicer
from llmosd.rpc.self_check import SelfCheck
from llmosd.rpc.server import Servicers
from llmosd.rpc.sessions import Sessions
from llmosd.rpc.sweeps import Sweeps
from llmosd.rpc.text_models import TextModels
from llmosd.rpc.tokenization_servicer import TokenizationServicer
from llmosd.rpc.training_servicer import TrainingServicer
from llmosd.rpc.training_spec import TrainingSpecs
from llmosd.rpc.upload import Uploads
from llmosd.settings import Settings
from llmosd.store.catalog import Catalog
from llmosd.store.datasets import DatasetStore
from llmosd.store.evaluations import EvaluationFolders
from llmosd.store.snapshot import Snapshots
from llmosd.store.versions import VersionStore
from llmosd.supervisor.job_runner import JobRunner
from llmosd.supervisor.pool import ModelPool
from llmosd.text.templates import TemplateRenderer


@dataclass(frozen=True, slots=True)
class Ground:
    """What is there before anybody is served."""

    config: Config
    catalog: Catalog
    store: VersionStore
    datasets: DatasetStore
    evaluations: EvaluationFolders
    pool: ModelPool
    runner: JobRunner
    starter: JobStarter
    jobs: DurableJobs
    operations: OperationManager
    renderer: TemplateRenderer
    observation: Observation
    resident_bytes: Callable[[], int]
    settings: Settings
    snapshots: Snapshots


@dataclass(frozen=True, slots=True)
class Composed:
    """The services, and the parts of them that live as long as the daemon."""

    servicers: Servicers
    promoter: Promoter
    probations: Probations
    book: FeedbackBook
    generator: Generator
    sessions: Sessions


class _Shared:
    """What several services stand on."""

    def __init__(self, ground: Ground) -> None:
        catalog, pool = ground.catalog, ground.pool
        self.texts = TextModels(ground.store, ground.renderer)
        self.heads = Heads(ground.store)
        quotas = Quotas(ground.config.tenant_quotas)
        ground.settings.register(
            "tenant_quotas", apply=lambda config: quotas.set_quotas(config.tenant_quotas)
        )
        self.generator = Generator(
            catalog,
            self.texts,
            pool,
            self.heads,
            quotas,
            _request_watch(ground),
            load_policy(ground.config),
        )
        self.publisher = Publisher(catalog, ground.store, pool)
        explainer = Explainer(
            catalog, ground.store, self.texts, pool, self.generator, ground.runner
        )
        self.scoring = ScoringServicer(catalog, self.texts, pool, self.heads, explainer)
        self.datasets = Datasets(
            catalog,
            ground.datasets,
            ground.operations,
            ground.runner,
            ground.config.max_dataset_bytes,
            ground.jobs.reads,
        )
        ground.settings.register(
            "max_dataset_bytes",
            apply=lambda config: self.datasets.set_max_bytes(config.max_dataset_bytes),
        )
        self.training = TrainingServicer(
            TrainingSpecs(ground.config, catalog, ground.store, ground.datasets),
            ground.operations,
            ground.jobs,
            self.publisher,
            pool,
        )
        self.evaluations = self._evaluations(ground)

    def _evaluations(self, ground: Ground) -> EvaluationServicer:
        judge = Evaluations(
            ground.catalog,
            ground.evaluations,
            ground.pool,
            ground.runner,
            self.generator,
            self.scoring,
            self.texts,
        )
        ground.starter.register(evaluations.KIND, judge.run)
        return EvaluationServicer(
            ground.catalog,
            ground.evaluations,
            self.heads,
            self.datasets,
            ground.operations,
            ground.jobs,
            ground.runner,
            judge,
        )


def _request_watch(ground: Ground) -> RequestWatch:
    requests, tracing = ground.observation.requests, ground.observation.tracing
    log_prompts = ground.config.log_prompts
    return RequestWatch(ground.catalog, requests, tracing, log_prompts=log_prompts)


def compose(ground: Ground) -> Composed:
    """Build the services, and say which jobs they do."""
    shared = _Shared(ground)
    batches = Batches(shared.generator, shared.datasets, ground.catalog, ground.pool)
    ground.starter.register(batch.KIND, batches.run)
    ground.jobs.register(batch.KIND, batches.publish)
    ground.jobs.on_stop = ground.starter.stop
    promoter, probations = _promotion(ground, shared)
    models = _models(ground, shared, promoter)
    feedback, book = _feedback(ground, shared, models)
    catalog, pool, texts = ground.catalog, ground.pool, shared.texts
    generator, operations = shared.generator, ground.operations
    sessions = Sessions()
    servicers = Servicers(
        generation=GenerationServicer(generator, catalog, texts, operations),
        scoring=shared.scoring,
        latent=LatentServicer(catalog, ground.store, pool, generator, Encoder(texts, pool)),
        tokenization=TokenizationServicer(catalog, texts),
        models=models,
        datasets=DatasetServicer(shared.datasets, _preprocessing(ground, shared), operations),
        operations=OperationsServicer(operations),
        operation=OperationServicer(operations),
        training=shared.training,
        evaluations=shared.evaluations,
        optimization=_optimization(ground, shared),
        feedback=feedback,
        admin=AdminServicer(
            ground.settings,
            pool,
            generator,
            ground.resident_bytes,
            ground.observation,
            operations,
            Backups(ground.snapshots),
            _garbage(ground),
            ground.store.disk,
        ),
        access=AccessServicer(catalog.tokens, sessions),
    )
    return Composed(servicers, promoter, probations, book, generator, sessions)


def _preprocessing(ground: Ground, shared: _Shared) -> Preprocessing:
    made = Preprocessing(shared.datasets, ground.operations, ground.runner)
    ground.starter.register(preprocessing.KIND, made.run)
    ground.jobs.register(preprocessing.KIND, made.publish)
    return made


# What a job puts down before it knows how much it will: its folder, its events, a first checkpoint.
_JOB_BYTES = 16 << 20


def _garbage(ground: Ground) -> Garbage:
    """What can go, and who is asked for room before something is refused."""
    garbage = Garbage(
        ground.config.state,
        ground.catalog,
        ground.store,
        ground.pool,
        ground.jobs,
        ground.operations,
    )
    disk = ground.datasets.disk = ground.store.disk
    disk.make_room = garbage.collect_caches
    ground.operations.check_job = partial(disk.check, _JOB_BYTES, "a job")

    def set_quota(config: Config) -> None:
        disk.quota = config.disk_quota_bytes

    set_quota(ground.config)
    ground.settings.register("disk_quota_bytes", apply=set_quota)
    return garbage


def _promotion(ground: Ground, shared: _Shared) -> tuple[Promoter, Probations]:
    catalog, pool = ground.catalog, ground.pool
    gates: list[Gate] = [
        LicenseGate(catalog, ground.store, ground.datasets),
        SelfCheck(catalog, ground.store, pool),
        EvaluationGate(shared.evaluations, ground.operations),
    ]
    promoter = Promoter(catalog, pool, shared.texts, gates)
    probations = Probations(catalog.aliases, pool, partial(promoter.take_back, automatic=True))
    promoter.on_moved = probations.watch
    return promoter, probations


def _models(ground: Ground, shared: _Shared, promoter: Promoter) -> ModelServicer:
    uploads = Uploads(
        shared.publisher,
        ground.catalog,
        ground.store,
        ground.pool,
        ground.operations,
        ground.runner,
        ground.config.max_upload_bytes,
    )
    ground.settings.register(
        "max_upload_bytes", apply=lambda config: uploads.set_max_bytes(config.max_upload_bytes)
    )
    return ModelServicer(
        ground.catalog,
        ground.store,
        ground.pool,
        ground.operations,
        shared.texts,
        uploads,
        ground.jobs,
        promoter,
        Exports(ground.catalog, ground.store, ground.runner),
    )


def _optimization(ground: Ground, shared: _Shared) -> OptimizationServicer:
    made = Optimizations(
        ground.catalog,
        ground.store,
        ground.pool,
        ground.runner,
        shared.publisher,
        Judge(shared.evaluations, ground.operations),
    )
    swept = Sweeps(ground.catalog, ground.store, ground.pool, shared.training, ground.operations)
    ground.starter.register(optimizations.KIND, made.run)
    ground.starter.register(sweeps.KIND, swept.run)
    servicer = OptimizationServicer(
        ground.config, ground.catalog, ground.store, shared.datasets, ground.operations
    )
    servicer.register(ground.jobs, made, swept)
    return servicer


def _feedback(
    ground: Ground, shared: _Shared, models: ModelServicer
) -> tuple[FeedbackServicer, FeedbackBook]:
    recent, state = shared.generator.recent, ground.config.state
    book = FeedbackBook(
        ground.catalog,
        ground.store,
        shared.datasets,
        ground.evaluations,
        ground.runner,
        recent,
        state,
        ground.config.feedback_retention_days,
    )
    ground.settings.register(
        "feedback_retention_days",
        apply=lambda config: book.set_retention(config.feedback_retention_days),
    )
    learns = Learning(
        ground.catalog,
        ground.datasets,
        ground.pool,
        book,
        shared.training,
        Judge(shared.evaluations, ground.operations),
        models,
        ground.operations,
    )
    ground.starter.register(learning.KIND, learns.run)
    servicer = FeedbackServicer(
        ground.catalog,
        book,
        recent,
        ground.operations,
        ground.runner,
        ground.jobs,
        state / "scratch",
    )
    servicer.register(learns)
    return servicer, book
